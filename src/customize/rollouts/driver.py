"""The driver: all live episodes advance together, one ``sample`` a turn. Knows no reward.

Tokens are exact: what the model said is never decoded and encoded again, and what comes after is
only ever appended.

Shape legend: T tokens of one sequence.
"""

from __future__ import annotations

import copy
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Literal

import attrs
import numpy as np

from customize._batch import Floats, Ints
from customize._errors import DataError, OutOfRoom, Unsupported
from customize.data.rendering.reply import is_unread_call
from customize.interfaces.environment import Environment, Reply, ToolCall, Turn, Verdict
from customize.interfaces.renderer import Document, Message, Renderer, Tool
from customize.interfaces.sampling import Completion, Prompt, Sampling
from customize.interfaces.session import Snapshot
from customize.rollouts.episode import Ask, Episode, Spoken
from customize.rollouts.extending import extended, prove
from customize.rollouts.limits import limited
from customize.rollouts.stages import Said, Sent, Stage, stage_for
from customize.rollouts.yielded import messages_of, turn_of, verdict_of

_TOO_MANY = {"turns": "turns", "tokens": "tokens", "length": "tokens"}  # by how an episode stopped


@attrs.frozen
class Driver:
    """Plays episodes of one environment with any snapshot.

    max_turns, max_length: turns of an episode, and tokens of a sequence, at most; no sequence is
        longer than what the model holds, where the snapshot says so.
    observation_tokens: longer texts of the environment are cut, and the cut is marked.
    behaviour: to whose log-probabilities a ratio will be: the ``policy``'s, or the ``sampler``'s,
        which differ at another temperature than 1; then the policy's are kept beside them.
    rewrites: what is done where the chat template rewrites what was said, as some drop earlier
        thoughts: ``refuse``, or ``restart`` with the whole conversation in a new sequence.
    """

    environment: Environment
    sampling: Sampling
    max_turns: int = 16
    max_length: int = 4096
    observation_tokens: int = 2048
    behaviour: Literal["policy", "sampler"] = "policy"
    rewrites: Literal["refuse", "restart"] = "refuse"

    def play(self, snapshot: Snapshot, asks: Sequence[Ask]) -> list[Episode]:
        """An episode for each, in their order; those that fail are played once more.

        A failed episode has ``error``: its seed is kept, so that it may be played again alone.

        Raises:
            OptionError: no time limit would hold here.
            Unsupported: the chat template rewrites what was said; where it can be proven, before
                anything is sampled.
        """
        context = snapshot.context()
        if context is not None and context < self.max_length:
            return attrs.evolve(self, max_length=context).play(snapshot, asks)
        played = self._once(snapshot, asks)
        episodes = self._judged(asks, played, {ask.group for ask in asks})
        failed = [i for i, episode in enumerate(episodes) if episode.error is not None]
        if not failed:
            return episodes
        again = self._once(snapshot, [asks[i] for i in failed])
        for i, one in zip(failed, again, strict=True):
            played[i] = one
        groups = {asks[i].group for i in failed}
        second = self._judged(asks, played, groups)
        return [s if e.group in groups else e for e, s in zip(episodes, second, strict=True)]

    def _once(self, snapshot: Snapshot, asks: Sequence[Ask]) -> list[_Played]:
        with stage_for(self.environment) as stage:
            live = [_Live(self, ask, stage, snapshot.renderer) for ask in asks]
            going = self._advance(stage, [(one, None) for one in live])
            self._prove(snapshot.renderer, going)
            while going:
                prompts = [one.prompt() for one in going]
                completions = snapshot.sample(prompts, self.sampling).result()
                sent: list[tuple[_Live, Sent]] = []
                for one, (completion,) in zip(going, completions, strict=True):
                    sent.append((one, one.hear(completion)))
                going = self._advance(stage, sent)
            return [_Played(one.episode(), one.content) for one in live]

    def _prove(self, renderer: Renderer, going: Sequence[_Live]) -> None:
        """Once for each set of tools that is offered, with documents and without."""
        if self.rewrites == "restart" or self.environment.single:
            return
        proven: list[tuple[Sequence[Tool], bool]] = []
        for tools, documents in (one.beside for one in going):
            if (tools, bool(documents)) not in proven:
                prove(renderer, tools, documents)
                proven.append((tools, bool(documents)))

    def _advance(self, stage: Stage, sent: Sequence[tuple[_Live, Sent]]) -> list[_Live]:
        """Those that go on, each with its next prompt."""
        said = stage.send([(one.number, what) for one, what in sent])
        going = [one for (one, _), what in zip(sent, said, strict=True) if one.take(what)]
        going = [one for one in going if one.fits()]
        full = [one for one in going if one.room()]
        answers = stage.send([(one.number, OutOfRoom(one.room())) for one in full]) if full else []
        for one, what in zip(full, answers, strict=True):
            one.end(what)
        return [one for one in going if not one.ended] if full else going

    def _judged(
        self, asks: Sequence[Ask], played: Sequence[_Played], groups: Set[int]
    ) -> list[Episode]:
        """With what a judge of siblings says of these groups; one with a failure is left out."""
        out = [one.episode for one in played]
        if self.environment.siblings is None:
            return out
        for group in groups:
            members = [i for i, ask in enumerate(asks) if ask.group == group]
            found = self._of_group([asks[i] for i in members], [played[i] for i in members])
            for i, episode in zip(members, found, strict=True):
                out[i] = episode
        return out

    def _of_group(self, asks: Sequence[Ask], played: Sequence[_Played]) -> list[Episode]:
        """Where the judge fails that is one error, of the first: the others are void."""
        judge, episodes = self.environment.siblings, [one.episode for one in played]
        assert judge is not None
        if any(e.failed for e in episodes):
            return [e if e.failed else _void(e) for e in episodes]
        try:
            rows = [copy.deepcopy(ask.row) for ask in asks]
            completions = [one.content for one in played]
            verdicts = limited(self.environment.seconds, judge, completions, rows)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a person's code raises
            first, *others = episodes
            return [_failed(first, error), *map(_void, others)]
        return [
            attrs.evolve(e, reward=e.reward + v.reward, parts={**e.parts, **v.parts})
            for e, v in zip(episodes, verdicts, strict=True)
        ]


@attrs.frozen
class _Played:
    """An episode that has ended. content: what rewards are given of its last reply."""

    episode: Episode
    content: str


@attrs.define
class _Sequence:
    """A sequence as it grows. tokens: int32 [T], up to where the model is to speak."""

    tokens: Ints
    tools: Sequence[Tool]
    documents: Sequence[Document]
    messages: list[Message]
    spans: list[tuple[int, Floats, Floats]] = attrs.field(factory=list)

    def spoken(self) -> Spoken | None:
        """Up to the last thing the model said; None where it said nothing."""
        if not self.spans:
            return None
        last, logprobs, _ = self.spans[-1]
        length = last + len(logprobs)
        sampled = np.zeros(length, bool)
        kept, own = np.zeros(length, np.float32), np.zeros(length, np.float32)
        for start, values, policys in self.spans:
            place = slice(start, start + len(values))
            sampled[place], kept[place], own[place] = True, values, policys
        of_policy = None if np.array_equal(kept, own) else own
        return Spoken(self.tokens[:length], sampled, kept, of_policy)


class _Live:
    """One episode on its way."""

    def __init__(self, driver: Driver, ask: Ask, stage: Stage, renderer: Renderer) -> None:
        self.number = stage.begin(copy.deepcopy(ask.row), ask.seed)
        self.ended = False
        self.content = ""  # of the last reply
        self._driver = driver
        self._ask = ask
        self._renderer = renderer
        self._own = {m.get("content") for m in ask.row.get("messages", ())}
        self._sequences: list[_Sequence] = []
        self._messages: list[Mapping[str, str]] = []
        self._faults: Counter[str] = Counter()
        self._turns = 0
        self._seconds = 0.0
        self._stop = "done"
        self._verdict: Verdict | None = None
        self._error: str | None = None
        self._traceback: str | None = None

    @property
    def beside(self) -> tuple[Sequence[Tool], Sequence[Document]]:
        """Tools and documents of the conversation that it is in."""
        return self._sequences[-1].tools, self._sequences[-1].documents

    def prompt(self) -> Prompt:
        """What is to be sampled next; every turn draws from a seed of its own."""
        return Prompt(self._sequences[-1].tokens, seed=self._ask.seed + self._turns)

    def hear(self, completion: Completion) -> Reply:
        """Append what the model said, and make the reply of it."""
        sequence = self._sequences[-1]
        kept = completion.logprobs
        if self._driver.behaviour == "sampler":
            kept = completion.sampling_logprobs
        sequence.spans.append((len(sequence.tokens), kept, completion.logprobs))
        sequence.tokens = np.concatenate([sequence.tokens, completion.tokens])
        if self._driver.rewrites == "restart":
            sequence.messages.append(self._renderer.parse(completion.tokens))
        self._turns += 1
        self._stop = "done" if completion.stop_reason == "stop" else "length"
        reads_calls = bool(sequence.tools) and not self._driver.environment.single
        reply = self._reply(completion, reads_calls)
        self._faults.update(reply.faults)
        self.content = reply.content
        self._messages.append({"role": "assistant", "content": reply.text})
        return reply

    def _reply(self, completion: Completion, reads_calls: bool) -> Reply:
        text = self._renderer.decode(completion.tokens)
        stopped, length = completion.stop_reason, len(completion.tokens)
        if not reads_calls:
            return Reply(text, stopped=stopped, num_tokens=length)
        message = self._renderer.parse(completion.tokens)
        content = str(message.get("content") or "")
        calls = tuple(
            ToolCall(call["function"]["name"], call["function"]["arguments"], str(call["id"]))
            for call in message.get("tool_calls", ())
        )
        unread = _leaves_a_call(self._renderer, completion.tokens, content)
        faults = ("unreadable_call",) if unread else ()
        return Reply(text, content, calls, faults, stopped, length)

    def take(self, said: Said) -> bool:
        """What the environment says; whether the episode goes on."""
        self._seconds += said.seconds
        if said.error is not None:
            self._fail(said.error)
        elif said.over:
            self._over(said.value)
        else:
            self._go_on(said.value)
        return not self.ended

    def end(self, said: Said) -> None:
        """What it says to there being no more room: a reward, or by default none."""
        self._seconds += said.seconds
        if isinstance(said.error, OutOfRoom) or getattr(said.error, "kind", "") == "OutOfRoom":
            self._verdict, self.ended = Verdict(0.0, {}), True
        elif said.error is None and not said.over:
            self._fail(RuntimeError("yielded another turn where there is no more room"))
        else:
            self.take(said)

    def fits(self) -> bool:
        """Whether there is room for a first reply. Where there is none, no fault is the model's."""
        if self._turns or not (told := self.room()):
            return True
        length = len(self._sequences[-1].tokens)
        self._fail(
            DataError(
                f"the first prompt of row {self._ask.place + 1} has {length} tokens, and {told}: "
                "shorten the row, or raise max_length above what prompt and max_tokens need"
            )
        )
        return False

    def room(self) -> str:
        """Why there is none for another turn, or nothing where there is."""
        driver, length = self._driver, len(self._sequences[-1].tokens)
        if self._turns >= driver.max_turns:
            self._stop = "turns"
            return f"there are {driver.max_turns} turns at most"
        if length + driver.sampling.max_tokens > driver.max_length:
            self._stop = "tokens"
            return f"a sequence has {driver.max_length} tokens at most, replies to come included"
        return ""

    def episode(self) -> Episode:
        """What came of it."""
        verdict = self._verdict or Verdict(float("nan"), {})
        spoken = [s for s in (sequence.spoken() for sequence in self._sequences) if s is not None]
        return Episode(
            place=self._ask.place,
            group=self._ask.group,
            index=self._ask.index,
            seed=self._ask.seed,
            sequences=tuple(spoken),
            reward=verdict.reward,
            parts=dict(verdict.parts),
            turns=self._turns,
            stop=self._stop,
            faults=dict(self._counted(verdict)),
            calls=dict(verdict.calls),
            messages=tuple(self._messages),
            seconds=self._seconds,
            error=self._error,
            traceback=self._traceback,
        )

    def _counted(self, verdict: Verdict) -> Counter[str]:
        """The model's faults. Where the environment failed, the end was none of the model's."""
        faults = self._faults + Counter(verdict.faults)
        if self._error is None and self._stop in _TOO_MANY:
            faults[_TOO_MANY[self._stop]] += 1
        return faults

    def _go_on(self, value: object) -> None:
        try:
            turn = turn_of(value)
            messages = messages_of(turn, self._own, self._driver.observation_tokens)
            self._see(turn, messages)
        except Unsupported:  # of this model, whatever was yielded
            raise
        except Exception as error:  # whatever such messages make a template do
            self._fail(error)

    def _see(self, turn: Turn, messages: Sequence[Message]) -> None:
        if turn.restart or not self._sequences:
            self._begin(messages, turn.tools, turn.documents)
        else:
            if turn.tools or turn.documents:
                _check_beside(turn, *self.beside)
            self._append(self._sequences[-1], messages)
        self._messages += [{"role": m["role"], "content": m["content"]} for m in messages]

    def _begin(
        self, messages: Sequence[Message], tools: Sequence[Tool], documents: Sequence[Document]
    ) -> None:
        tokens = self._renderer.prompt(messages, tools or None, documents or None)
        self._sequences.append(_Sequence(tokens, tools, documents, [*messages]))

    def _append(self, sequence: _Sequence, messages: Sequence[Message]) -> None:
        beside = sequence.tools, sequence.documents
        try:
            grown = extended(self._renderer, sequence.tokens, messages, *beside)
        except Unsupported:
            if self._driver.rewrites == "refuse":
                raise
            self._begin([*sequence.messages, *messages], *beside)
            return
        sequence.tokens = grown
        sequence.messages += messages

    def _over(self, value: object) -> None:
        try:
            self._verdict = verdict_of(value)
            self.ended = True
        except (TypeError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        kind = getattr(error, "kind", type(error).__name__)
        self._error = f"{kind}: {error}"
        there = getattr(error, "traceback", "")
        self._traceback = there or "".join(traceback.format_exception(error))
        self._verdict, self.ended = None, True


def _leaves_a_call(renderer: Renderer, tokens: Ints, content: str) -> bool:
    """As the renderer tells by its template's own form; of one that tells nothing, by any form."""
    told = getattr(renderer, "leaves_a_call", None)
    return is_unread_call(content) if told is None else bool(told(tokens))


def _check_beside(turn: Turn, tools: Sequence[Tool], documents: Sequence[Document]) -> None:
    """What is shown beside a conversation is written once, where it begins."""
    for name, told, known in (
        ("tools", turn.tools, tools),
        ("documents", turn.documents, documents),
    ):
        if told and list(told) != list(known):
            raise ValueError(
                f"yielded a Turn with {name} that its conversation has not: {name} belong to the "
                "first turn, or to one with restart=True"
            )


def errors_by_type(episodes: Iterable[Episode]) -> Counter[str]:
    """How many failed, by what was raised."""
    return Counter(e.error.partition(":")[0] for e in episodes if e.error is not None)


def _void(episode: Episode) -> Episode:
    return attrs.evolve(episode, reward=float("nan"), parts={}, void=True)


def _failed(episode: Episode, error: BaseException) -> Episode:
    told, lines = f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
    return attrs.evolve(episode, reward=float("nan"), parts={}, error=told, traceback=lines)
