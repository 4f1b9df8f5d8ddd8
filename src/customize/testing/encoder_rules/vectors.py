"""Rules about the vectors of texts.

Shape legend: N texts, D dimensions.
"""

from __future__ import annotations

import numpy as np

from customize.testing.encoder_rules.subject import TEXTS, EncoderSubject
from customize.testing.expecting import expect, expect_close

_WITHIN = 1e-3  # how a text is padded beside others may round otherwise
_ODD = ("", " ", "\0", "é" * 3, "北京的天气", "word " * 2000)


def check_vectors_have_length_one(subject: EncoderSubject) -> None:
    """Questions and passages become float32 [N, D], each of length 1."""
    for encode in (subject.encoder.encode_queries, subject.encoder.encode_chunks):
        made_ND = encode(TEXTS)
        expect(made_ND.dtype == np.float32, f"the vectors are {made_ND.dtype}, not float32")
        expect(made_ND.ndim == 2, f"the shape is {made_ND.shape}, not [N, D]")
        lengths_N = np.linalg.norm(made_ND.astype(np.float64), axis=1)
        expect_close(lengths_N, np.ones(len(TEXTS)), _WITHIN, "lengths")


def check_a_question_is_compared_with_a_passage(subject: EncoderSubject) -> None:
    """Vectors of questions have as many numbers as vectors of passages."""
    queries = subject.encoder.encode_queries(TEXTS[:1]).shape[-1]
    chunks = subject.encoder.encode_chunks(TEXTS[:1]).shape[-1]
    expect(queries == chunks, f"a question has {queries} numbers, and a passage {chunks}")


def check_a_text_keeps_its_vector(subject: EncoderSubject) -> None:
    """A text has one vector, alone as among others, wherever it stands among them."""
    for encode in (subject.encoder.encode_queries, subject.encoder.encode_chunks):
        made_ND = encode(TEXTS)
        expect_close(encode(TEXTS[::-1])[::-1], made_ND, _WITHIN, "the texts turned around")
        expect_close(encode(TEXTS[:1]), made_ND[:1], _WITHIN, "the first text alone")


def check_other_texts_have_other_vectors(subject: EncoderSubject) -> None:
    """Texts that say different things are told apart."""
    made_ND = subject.encoder.encode_chunks(TEXTS).astype(np.float64)
    alike_NN = made_ND @ made_ND.T - np.eye(len(TEXTS))
    expect(float(alike_NN.max()) < 1 - 1e-4, "two different texts have one vector")


def check_any_text_has_a_vector(subject: EncoderSubject) -> None:
    """A text that is empty, odd or long has a vector of finite numbers."""
    for text in _ODD:
        made_ND = subject.encoder.encode_queries([text])
        expect(bool(np.isfinite(made_ND).all()), f"{text[:20]!r} has numbers that are not finite")


def check_the_fingerprint_stays(subject: EncoderSubject) -> None:
    """The fingerprint is a text, and using the encoder does not change it."""
    before = subject.encoder.fingerprint
    subject.encoder.encode_queries(TEXTS)
    expect(isinstance(before, str) and bool(before), f"the fingerprint is {before!r}")
    expect(subject.encoder.fingerprint == before, "the fingerprint is another after encoding")
