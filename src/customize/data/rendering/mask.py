"""Which characters, and then which tokens, are the assistant's: found, and proven per example.

A trained range runs from where a prompt for the answer would end through the token that ends the
turn. It must hold all of the answer and nothing anybody else said. Knows nothing of templates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from customize._batch import Floats, Ints
from customize._errors import RenderingError
from customize.data.rendering.facts import Facts
from customize.data.rendering.marks import Span
from customize.data.rendering.tracing import Trace

Range = tuple[int, int]


@attrs.frozen
class Turn:
    """One answer's place: its spans, and the template's own text around them."""

    message: int
    spans: Sequence[Span]
    before: Range
    after: Range


def trained_ranges(
    trace: Trace,
    trained: Sequence[bool],
    facts: Facts,
    prompt_before: Callable[[int], str],
    needs_end: bool,
) -> list[Range]:
    """Character ranges to train on, in order.

    trained: of each message whether it may be trained on.
    prompt_before: the prompt for the answer at an index, for templates whose header differs.

    Raises:
        RenderingError: a part of an answer is missing, mixed with others', or does not end.
    """
    trace.check_complete()
    answers = [index for index, train in enumerate(trained) if train]
    ranges = []
    for index in answers:
        if _lost_reasoning(trace, index):
            if index == answers[-1]:
                raise RenderingError(
                    f"message {index}: the template does not write reasoning_content: write it "
                    "into content, or use a template that keeps it"
                )
            # The template drops the reasoning of earlier turns: what is left is not what the
            # assistant would say there.
            continue
        turn = _turn(trace, index)
        if trace.traced.tags:
            ranges.append(_from_tags(trace, turn, facts, needs_end))
        else:
            start = _start(trace.text, turn, facts, prompt_before)
            ranges.append((start, _end(trace.text, turn, facts, needs_end)))
    if not ranges:
        raise RenderingError("no message of the assistant is left to train on")
    return ranges


def weights_of(ranges: Sequence[Range], offsets: Sequence[Range]) -> Floats:
    """1 for each token that begins in a range, float32 [T]; offsets are characters, [T] pairs."""
    starts = np.asarray(offsets, np.int64).reshape(-1, 2)[:, 0]
    edges = np.asarray(ranges, np.int64).reshape(-1)
    # Odd insertion points lie inside a range.
    return (np.searchsorted(edges, starts, side="right") % 2).astype(np.float32)


def check_tokens(tokens: Ints, weights: Floats, ends: Sequence[int], needs_end: bool) -> None:
    """Every run of trained tokens ends in a token that ends a turn.

    Raises:
        RenderingError: nothing is trained, or an answer is cut.
    """
    trained = np.flatnonzero(weights)
    if not len(trained):
        raise RenderingError("nothing is trained: no token is the assistant's")
    if not needs_end:
        return
    last = trained[np.append(np.diff(trained) > 1, True)]
    cut = last[~np.isin(tokens[last], ends)]
    if len(cut):
        raise RenderingError(
            f"the answer that ends at token {cut[0]} of {len(tokens)} is cut: it does not end in "
            "a token that ends the turn"
        )


def _lost_reasoning(trace: Trace, message: int) -> bool:
    present = {(span.piece.text) for span in trace.traced.spans if span.piece.message == message}
    return any(
        piece.text not in present
        for piece in trace.pieces
        if piece.message == message and piece.part == "reasoning"
    )


def _turn(trace: Trace, message: int) -> Turn:
    spans = trace.traced.spans
    own = [i for i, span in enumerate(spans) if span.piece.message == message]
    if not own:
        raise RenderingError(f"message {message}: the assistant says nothing")
    first, last = own[0], own[-1]
    foreign = [s for s in spans[first : last + 1] if s.piece.message != message]
    if foreign:
        raise RenderingError(
            f"message {message}: text of message {foreign[0].piece.message} stands inside it"
        )
    before = spans[first - 1].end if first else 0
    after = spans[last + 1].start if last + 1 < len(spans) else len(trace.text)
    return Turn(
        message,
        [spans[i] for i in own],
        (before, spans[first].start),
        (spans[last].end, after),
    )


def _start(text: str, turn: Turn, facts: Facts, prompt_before: Callable[[int], str]) -> int:
    for header in facts.headers:
        found = text.rfind(header, *turn.before)
        if found >= 0:
            return found + len(header)
    prompt = prompt_before(turn.message) if turn.message else ""
    if prompt and text.startswith(prompt) and turn.before[0] <= len(prompt) <= turn.before[1]:
        return len(prompt)
    raise RenderingError(
        f"message {turn.message}: it cannot be proven where the assistant's turn begins"
    )


def _end(text: str, turn: Turn, facts: Facts, needs_end: bool) -> int:
    found = [(text.find(end, *turn.after), len(end)) for end in facts.ends]
    places = [(at, -length) for at, length in found if at >= 0]
    if places:
        at, length = min(places)
        return at - length
    if needs_end:
        raise RenderingError(
            f"message {turn.message}: the template ends the assistant's turn with no stop token, "
            "so this model will not learn to stop: declare eos_token_id in generation_config.json, "
            "use a template that writes it, or allow it with needs_end=False"
        )
    return turn.after[0]


def _from_tags(trace: Trace, turn: Turn, facts: Facts, needs_end: bool) -> Range:
    """The generation tag that holds the turn, from its first character through the stop token."""
    first, last = turn.spans[0].start, turn.spans[-1].end
    holding = [tag for tag in trace.traced.tags if tag[0] <= last and tag[1] >= first]
    inside = all(any(a <= s.start and s.end <= b for a, b in holding) for s in turn.spans)
    if not inside or holding[0][0] < turn.before[0] or holding[-1][1] > turn.after[1]:
        raise RenderingError(
            f"message {turn.message}: the template's generation tags do not hold the answer and "
            "nothing else"
        )
    return holding[0][0], _end(trace.text, turn, facts, needs_end)
