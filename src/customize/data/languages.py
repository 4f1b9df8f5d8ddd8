"""A guess at the language of a text, by script and the commonest words. No more than a guess.

Where Latin letters are used and no list of common words fits, the answer is only the script.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

_SCRIPTS = {
    "Japanese": "\u3040-\u30ff",
    "Korean": "\u1100-\u11ff\uac00-\ud7af",
    "Han script": "\u3400-\u4dbf\u4e00-\u9fff",
    "Cyrillic script": "\u0400-\u052f",
    "Greek": "\u0370-\u03ff",
    "Arabic script": "\u0600-\u06ff\u0750-\u077f",
    "Hebrew": "\u0590-\u05ff",
    "Devanagari script": "\u0900-\u097f",
    "Thai": "\u0e00-\u0e7f",
    "Latin script": "A-Za-z\u00c0-\u024f",
}
_OF_SCRIPT = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_LATIN_WORD = re.compile("[a-z\u00df-\u024f]+")

# The commonest words of each language that few of the other languages share.
_COMMON = {
    "English": "the and is are you of to in that it for with this have what can we my your be",
    "German": "der die das und ist ich nicht sie ein eine mit für auf den zu wie wir auch von im",
    "French": "le la les et est vous je des une pas pour que dans nous avec sur du qui ce votre",
    "Spanish": "el los las y es que de por una para con no su lo está como pero más usted del",
    "Italian": "il di che è per una sono non con gli della le si da come ma anche più questo nel",
    "Portuguese": "o os as e não que de uma para com você são em da mas por seu mais isso",
    "Dutch": "de het een en van ik niet is dat je op te zijn met voor we wat er ook maar",
    "Polish": "nie się na jest że jak czy ale tak co dla są może przez pan proszę też już",
    "Swedish": "och att det är som en på för inte jag med har till den av om du kan vi ett",
    "Turkish": "bir ve bu için de da ne var mı çok ile değil daha gibi ben siz olarak mi en kadar",
}
_LANGUAGES: defaultdict[str, list[str]] = defaultdict(list)
for _language, _text in _COMMON.items():
    for _word in _text.split():
        _LANGUAGES[_word].append(_language)
_LETTERS = 2000  # enough to guess by
UNKNOWN = "no letters"


def guess(text: str) -> str:
    """The script or language guessed; "no letters" where there are none."""
    start = text[:_LETTERS]
    counts = {name: len(pattern.findall(start)) for name, pattern in _OF_SCRIPT.items()}
    if counts["Japanese"] * 5 > counts["Han script"] > 0:  # kana among the ideographs
        counts["Japanese"] += counts["Han script"]
    script = max(counts, key=lambda name: counts[name])
    if not counts[script]:
        return UNKNOWN
    return _by_words(start) if script == "Latin script" else script


def _by_words(text: str) -> str:
    words = _LATIN_WORD.findall(text.lower())
    hits = Counter(name for word in words if word in _LANGUAGES for name in _LANGUAGES[word])
    (best, most), (_, second) = [*hits.most_common(2), ("", 0), ("", 0)][:2]
    clear = most > second and most >= max(2, len(words) // 12)
    return best if clear else "Latin script"
