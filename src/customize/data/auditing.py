"""`audit`: what is wrong or risky in a data set, row by row. Changes nothing."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from customize.data.audit_report import Audit, Cluster, Finding, Lengths
from customize.data.dataset import IndexedDataset
from customize.data.languages import guess
from customize.data.reading import Source, read
from customize.data.sensitive import find
from customize.data.similarity import Clusters, Pair, near_duplicates
from customize.data.strict_json import strings
from customize.data.texts import answers, everything, num_words, spoken

_FENCE = re.compile(r"^\s*```", re.MULTILINE)
_WITHOUT_STOPS = re.compile("[\u0e00-\u0eff\u1780-\u17ff]$")  # Thai, Lao and Khmer use none
_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff]$")
_UNFINISHED = re.compile(r"(?:[,;(\[{<\u2013]|\s-|[^\W\d_]-|\b(?:and|or|the|of|to|with|und|et|y))$")
_LEAST_WORDS = 10  # a shorter last line may well be a name, a heading or an item


def audit(source: Source, kind: str | None = None) -> Audit:
    """Look at every row of ``source`` for what is wrong or risky; bad rows are part of the result.

    ``source`` and ``kind`` are those of `read`. Nothing is changed, and what is found of secrets
    and personal data is masked. Languages and answers that seem cut are guesses.

    Raises:
        DataError: there is no good row to look at, or `read` cannot read the source.
        OptionError, MissingDependency, UnknownName, PluginError: as `read` does.
    """
    dataset = read(source, kind, on_bad_rows="skip")
    survey = _Survey(len(dataset))
    for number in range(len(dataset)):
        survey.look(number, dataset[number], dataset.source(number), dataset.line(number))
    exact = [cluster for cluster in survey.equal.all() if len(cluster) > 1]
    texts = ((number, spoken(dataset[number])) for number in range(len(dataset)))
    pairs = near_duplicates(texts, lambda number: spoken(dataset[number]), survey.equal)
    return Audit(
        name=dataset.name,
        format=dataset.format,
        kind=dataset.kind,
        fingerprint=dataset.fingerprint,
        report=dataset.report,
        exact_duplicates=tuple(_lines(dataset, cluster) for cluster in exact),
        near_duplicates=_near(dataset, pairs),
        characters=_lengths(survey.characters),
        words=_lengths(survey.words),
        answer_words=_lengths(survey.answer_words),
        languages=dict(survey.languages.most_common()),
        cut_answers=tuple(survey.cut),
        findings=tuple(survey.findings),
    )


class _Survey:
    """What one pass over the rows collects."""

    def __init__(self, num_rows: int) -> None:
        self.equal = Clusters(num_rows)
        self.characters, self.words, self.answer_words = (
            array("q"),
            array("q"),
            array("q"),
        )
        self.languages: Counter[str] = Counter()
        self.cut: list[int] = []
        self.findings: list[Finding] = []
        self._first: dict[bytes, int] = {}

    def look(self, number: int, row: Mapping[str, Any], source: object, line: int) -> None:
        text = spoken(row)
        key = hashlib.sha256(everything(row).encode("utf-8", "surrogatepass")).digest()
        self.equal.join(self._first.setdefault(key, number), number)
        self.characters.append(len(text))
        self.words.append(num_words(text))
        self.languages[guess(text)] += 1
        given = answers(row)
        self.answer_words.extend(num_words(answer) for answer in given)
        if any(is_cut(answer) for answer in given):
            self.cut.append(line)
        self.findings.extend(_findings(source, line))


def is_cut(answer: str) -> bool:
    """Whether an answer seems to end in the middle: a guess, by its last line and code fences."""
    if len(_FENCE.findall(answer)) % 2:
        return True
    last = answer.rstrip().rsplit("\n", 1)[-1].rstrip(" *_\"'\u201d\u2019)")
    if _UNFINISHED.search(last):
        return True
    bare = bool(last) and last[-1].isalnum() and not _WITHOUT_STOPS.search(last)
    address = "://" in last.rsplit(" ", 1)[-1]
    least = 2 * _LEAST_WORDS if _IDEOGRAPH.search(last) else _LEAST_WORDS
    return bare and not address and num_words(last) >= least


def _findings(source: object, line: int) -> Iterator[Finding]:
    for where, text in strings(source):
        if len(text) >= 6:  # nothing shorter is sensitive
            for match in find(text):
                yield Finding(line, match.group, match.kind, where, match.masked)


def _lines(dataset: IndexedDataset, rows: Sequence[int]) -> tuple[int, ...]:
    return tuple(dataset.line(row) for row in rows)


def _near(dataset: IndexedDataset, pairs: list[Pair]) -> tuple[Cluster, ...]:
    """Clusters of near-duplicates; exact duplicates are in them by their first row."""
    joined = Clusters(len(dataset))
    for pair in pairs:
        joined.join(pair.first, pair.second)
    least: dict[int, float] = {}
    members: dict[int, set[int]] = {}
    for pair in pairs:
        root = joined.find(pair.first)
        least[root] = min(pair.similarity, least.get(root, 1.0))
        members.setdefault(root, set()).update((pair.first, pair.second))
    return tuple(
        Cluster(_lines(dataset, sorted(members[root])), round(least[root], 3))
        for root in sorted(members)
    )


def _lengths(values: Sequence[int]) -> Lengths:
    if not len(values):
        return Lengths(0, 0, 0, 0, 0)
    marks = np.percentile(np.asarray(values), [0, 50, 90, 99, 100], method="nearest")
    return Lengths(*(int(mark) for mark in marks))
