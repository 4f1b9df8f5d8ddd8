"""Presidio's analyzer, set up so that it works offline. Knows texts, and no rows.

As it comes Presidio fetches a spaCy model where one is missing, and a list of domains for the
first e-mail address that it sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import attrs
import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer, SpacyRecognizer
from spacy.language import Language
from spacy.tokens import Doc

from customize import MissingDependency, OptionError

_WORDS = "customize_words"
# The list of domains that tldextract ships.
_DOMAINS = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())


@attrs.frozen
class Analyzer:
    """entities: all that can be found, as Presidio calls it."""

    engine: AnalyzerEngine
    language: str
    entities: frozenset[str]

    def find(self, text: str, entities: Sequence[str], least_score: float) -> list[str]:
        """The stretches of the text that are of one of the entities."""
        found = self.engine.analyze(
            text, self.language, entities=list(entities), score_threshold=least_score
        )
        return [text[one.start : one.end] for one in found]


@lru_cache(maxsize=8)
def analyzer_of(language: str, model: str | None) -> Analyzer:
    """Made once for each language and model.

    Raises:
        OptionError: spaCy does not know the language.
        MissingDependency: the model is not installed.
    """
    nlp = SpacyNlpEngine(models=[{"lang_code": language, "model_name": model or "blank"}])
    nlp.nlp = {language: _loaded(model) if model else _blank(language)}
    registry = RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=nlp)
    registry.recognizers = [_offline(one) for one in registry.recognizers if model or _alone(one)]
    engine = AnalyzerEngine(registry, nlp, supported_languages=[language])
    return Analyzer(engine, language, frozenset(engine.get_supported_entities(language)))


class _Email(EmailRecognizer):
    """Domains are looked up in the list that is there."""

    def validate_result(self, pattern_text: str) -> bool:
        return bool(_DOMAINS(pattern_text).fqdn)


def _offline(recognizer: EntityRecognizer) -> EntityRecognizer:
    if not isinstance(recognizer, EmailRecognizer):
        return recognizer
    return _Email(supported_language=recognizer.supported_language, name=recognizer.name)


def _alone(recognizer: EntityRecognizer) -> bool:
    """Whether it finds anything where there is no model."""
    return not isinstance(recognizer, SpacyRecognizer)


def _loaded(model: str) -> Language:
    try:
        return spacy.load(model)
    except OSError as error:
        raise MissingDependency(
            f"the spaCy model {model!r} is not installed: python -m spacy download {model}"
        ) from error


def _blank(language: str) -> Language:
    try:
        nlp = spacy.blank(language)
    except ImportError as error:
        raise OptionError(
            f"spaCy knows no language {language!r}: give two letters, as en"
        ) from error
    nlp.add_pipe(_WORDS)
    return nlp


@Language.component(_WORDS)
def _as_lemmas(doc: Doc) -> Doc:
    """Words as their own lemmas, which Presidio looks for around a match: "card", "call"."""
    for token in doc:
        token.lemma_ = token.lower_
    return doc
