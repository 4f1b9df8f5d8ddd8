"""Run: the face of a run folder or of a base model. Trains nothing."""

from __future__ import annotations

import gc
import os
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from customize._errors import DataError, Unsupported
from customize.data.messages import asked_messages
from customize.data.rendering.growing_text import GrowingText
from customize.interfaces.backend import Backend, Engine
from customize.interfaces.exporter import Exporter
from customize.interfaces.model import ModelFolder
from customize.interfaces.observer import Observer
from customize.interfaces.renderer import Message, Tool
from customize.interfaces.sampling import Prompt, Sampling
from customize.interfaces.session import Snapshot
from customize.packaging.manifest import MANIFEST, Manifest
from customize.runs.backends import quiet_libraries
from customize.runs.folder import RunFolder
from customize.training.observers import Observers

if TYPE_CHECKING:
    from customize.evaluation import Endpoint, Evaluation
    from customize.interfaces.environment import Environment, Function
    from customize.interfaces.gate import Gate
    from customize.interfaces.index import Encoder, Index
    from customize.runs.assistant import Assistant

Messages = str | Sequence[Message]


class Run:
    """A run where it has a folder, an exported adapter, or else a model as it is.

    Weights are loaded when they are first used. ``observers`` are told of evaluations, beside
    those that the run's recipe names.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        model: ModelFolder | None,
        backend: Backend,
        observers: Sequence[Observer] = (),
        adapter: Path | None = None,
    ) -> None:
        self.folder = folder
        self.model = model
        self.backend = backend
        self.observers = observers
        self.adapter = adapter

    @cached_property
    def engine(self) -> Engine:
        """The base, loaded once."""
        quiet_libraries()
        return self.backend.load(self.model)  # type: ignore[arg-type]  # the toy backend has none

    @cached_property
    def customized(self) -> Snapshot:
        """The customized weights; the model's own where nothing was put on it.

        Raises:
            RunError: the run is not finished, or its weights are damaged.
        """
        weights = self.weights
        return self._whole if weights is None else self.engine.open(weights)

    def release(self) -> None:
        """Let go of what a backend holds in memory; it is loaded anew when it is next used."""
        self.open_anew()
        vars(self).pop("engine", None)
        gc.collect()  # a base and its layers may hold one another

    @property
    def weights(self) -> Path | None:
        """The folder of what was put on the base; None where nothing was.

        Raises:
            RunError: the run is not finished, or its weights are damaged.
        """
        return self.folder.weights() if self.folder else self.adapter

    @cached_property
    def base(self) -> Snapshot:
        """The base, for comparison; a model as it is is its own.

        Raises:
            Unsupported: this is a package whose weights are merged or whole.
        """
        if self._merged is not None:
            known = Manifest.read(self._merged).base["name"]
            raise Unsupported(
                f"the weights of {self._merged} are merged or whole, and no base lies apart in it: "
                f"open what it was made from, as customize.open({known!r})"
            )
        return self._whole

    @cached_property
    def _whole(self) -> Snapshot:
        """What is there where nothing was put on it."""
        return self.engine.base()

    def open_anew(self) -> None:
        """Have the weights put on the base again when they are next used: after `WorkerLost`, by
        other workers.
        """
        for name in ("customized", "base", "_whole"):
            vars(self).pop(name, None)

    @property
    def _merged(self) -> Path | None:
        """The folder, where it is a package without its base."""
        if self.folder is not None or self.adapter is not None or self.model is None:
            return None
        return self.model.path if (self.model.path / MANIFEST).is_file() else None

    @property
    def metrics(self) -> list[dict[str, float]]:
        """What was logged, one dict a step."""
        return self.folder.metrics() if self.folder else []

    @overload
    def reply(
        self,
        messages: Messages,
        *,
        stream: Literal[False] = False,
        tools: Sequence[Tool] | None = None,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        base: bool = False,
    ) -> str: ...

    @overload
    def reply(
        self,
        messages: Messages,
        *,
        stream: Literal[True],
        tools: Sequence[Tool] | None = None,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        base: bool = False,
    ) -> Iterator[str]: ...

    def reply(
        self,
        messages: Messages,
        *,
        stream: bool = False,
        tools: Sequence[Tool] | None = None,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        base: bool = False,
    ) -> str | Iterator[str]:
        """The assistant's answer to a text or to messages; with ``stream`` piece by piece.

        It is text as the model wrote it, a tool call too; `reply_message` takes it apart.

        Raises:
            DataError: what is given is no messages, or with the answer more than the model holds.
        """
        sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
        snapshot, prompt = self._asked(messages, tools, sampling, seed, base)
        if stream:
            return _streamed(snapshot, prompt, sampling)
        [[completion]] = snapshot.sample([prompt], sampling).result()
        return snapshot.renderer.decode(completion.tokens).strip()

    def reply_message(
        self,
        messages: Messages,
        *,
        tools: Sequence[Tool] | None = None,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        base: bool = False,
    ) -> Message:
        """The answer as a message to append: content, and ``tool_calls`` and reasoning if any."""
        sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
        snapshot, prompt = self._asked(messages, tools, sampling, seed, base)
        [[completion]] = snapshot.sample([prompt], sampling).result()
        return snapshot.renderer.parse(completion.tokens)

    def _asked(
        self,
        messages: Messages,
        tools: Sequence[Tool] | None,
        sampling: Sampling,
        seed: int,
        base: bool,
    ) -> tuple[Snapshot, Prompt]:
        snapshot = self.base if base else self.customized
        tokens = snapshot.renderer.prompt(asked_messages(messages), tools)
        if self.context is not None and len(tokens) + sampling.max_tokens > self.context:
            raise DataError(
                f"the messages have {len(tokens)} tokens and the answer up to "
                f"{sampling.max_tokens}, and the model holds {self.context}: say less, or ask for "
                "fewer (max_tokens)"
            )
        return snapshot, Prompt(tokens, seed=seed)

    @property
    def context(self) -> int | None:
        """Tokens of prompt and answer together that the model can hold, where it says so."""
        from customize.packaging.prompts import context_of

        return None if self.model is None else context_of(self.model.path)

    @property
    def has_assistant(self) -> bool:
        """Whether the run's method kept what an assistant needs, or the package holds it."""
        return self.assistant_folder is not None

    @property
    def assistant_folder(self) -> Path | None:
        """Where that is."""
        from customize.runs.assistant import packaged_assistant

        if self.folder is not None:
            return self.folder.assistant_kept()
        package = self.adapter or (self.model.path if self.model else None)
        return None if package is None else packaged_assistant(package)

    def assistant(
        self,
        index: Index | str | os.PathLike[str] | None = None,
        *,
        base: bool = False,
        encoder: Encoder | str | None = None,
    ) -> Assistant:
        """Who answers from documents: those of the run or package, or what is in another ``index``.

        That is one that is open, or the folder that `build_index` made; ``encoder`` is of the
        folder's vectors, where it has some.

        Raises:
            RunError: the run's method keeps none.
            DataError: what it keeps is not what it was trained with.
            OptionError: there are vectors and no encoder, or the other way round.
        """
        from customize.runs.assistant import assistant_of

        snapshot = self.base if base else self.customized
        return assistant_of(self, snapshot, index, encoder)

    def evaluate(
        self,
        rows: str | Path | Sequence[Mapping[str, Any]] | None = None,
        *,
        environment: str | Function | Environment | None = None,
        prompts: str | Sequence[str] = (),
        shots: Sequence[int] = (0,),
        development: str | Path | Sequence[Mapping[str, Any]] | None = None,
        against: Mapping[str, str | os.PathLike[str] | Run | Endpoint] | None = None,
        index: Index | str | os.PathLike[str] | None = None,
        max_tokens: int = 64,
        samples: int = 1,
        temperature: float = 0.0,
        scorers: Mapping[str, object] | Sequence[object] = (),
        judge: Mapping[str, object] | None = None,
        slices: Sequence[str] = ("trait",),
        cluster: str | None = None,
        gates: Sequence[str | Gate] = (),
        prices: Mapping[str, Mapping[str, float]] | None = None,
        general: bool | int = False,
        max_turns: int = 16,
        solved: float = 1.0,
        to: str | os.PathLike[str] | None = None,
    ) -> Evaluation:
        """Base, base with its best prompt, others and customized, on the same rows.

        The results are kept in ``to``, or in the run's ``eval`` folder, with a report; answers
        that are there already are not asked for again. Of a base model there is no last column,
        and without ``to`` nothing is kept.

        With an ``environment`` the rows are played in it, by the driver that training has:
        ``samples`` episodes of each, paired by row and seed, and played anew every time. What is
        compared is ``reward``, ``pass@1``, the reward's parts, tokens and turns.

        Args:
            environment: as the option of the method grpo; for a reward give
                ``customize.judged(reward, tools)``. Without rows it is played on its own.
            prompts: for the base; with several, or with ``shots``, the numbers of examples to
                try, the best on the ``development`` rows is taken. Without any it is left out.
            against: others that answer too, by name: runs, models, or an `Endpoint`, also as
                ``https://host/v1#model``. Models and endpoints get the base's best prompt.
            index: the run answers also with what this finds: an index that is open, the folder of
                one, or ``"own"`` for what the run keeps. That column is ``retrieved``.
            scorers: for every row beside its ``expect``: names, names with their options,
                `Scorer` objects, or functions of (text, row).
            samples: answers a row, drawn at ``temperature``; one, the likeliest, unless given.
            judge: a model as judge: ``model``, and also ``criterion``, ``of`` (answers or pairs),
                ``labels`` (a file of people's) and ``max_tokens``.
            slices: fields of the rows, also ``length`` and ``language``.
            cluster: a field that rows which belong together share.
            gates: what must be shown, as `better` and `no_worse` make them or as text; the
                answers are in ``gates``, and nothing is raised.
            prices: by column: ``hour`` (of the machine), or ``input`` and ``output`` (a million
                tokens each), and ``fixed`` (spent once).
            general: also ask the 300 general items, or so many of them, and weigh general texts,
                to see what the customization broke.
            max_turns, solved: of an environment's episodes: replies at most, and the reward from
                which one counts as solved.

        Raises:
            DataError: rows say nothing of what is right, share an id, or are development rows too.
            OptionError: there are several prompts and no development rows; a gate or scorer is
                wrong; ``general`` is asked of a base alone; the environment cannot be used, or
                not with these rows.
            EpisodesFailed: no episode went well.
        """
        from customize.runs.evaluating import Asked, evaluate_run
        from customize.training.evaluation_plan import check_choice, judge_plan_of, parse_gates

        texts = (prompts,) if isinstance(prompts, str) else tuple(prompts)
        check_choice(texts, shots, development is not None)
        asked = Asked(
            rows=rows,
            prompts=texts,
            shots=shots,
            development=development,
            against=against or {},
            index=index,
            max_tokens=max_tokens,
            samples=samples,
            temperature=temperature,
            general=general,
            scorers=scorers,
            judge=judge_plan_of(judge),
            slices=slices,
            cluster=cluster,
            gates=parse_gates(gates),
            prices=prices or {},
            environment=environment,
            max_turns=max_turns,
            solved=solved,
        )
        evaluation = evaluate_run(self, asked, None if to is None else Path(to))
        self.tell(evaluation)
        return evaluation

    def tell(self, evaluation: Evaluation) -> None:
        """Tell the observers of an evaluation; a base model has none."""
        if self.folder is None:
            return
        last = max((step["step"] for step in self.metrics), default=0)
        lineage, recipe = self.folder.lineage(), self.folder.recipe()
        with Observers(self.folder.path, recipe, lineage, self.observers) as observers:
            observers.start(int(last))
            observers.evaluation(evaluation)

    def export(
        self,
        form: str | Exporter,
        to: str | os.PathLike[str],
        *,
        margin: float = 0.05,
        despite_parity: bool = False,
        without_rows: bool = False,
        **options: object,
    ) -> Manifest:
        """Put the run into a package that others serve, and prove that it answers as the run does.

        ``form`` is an exporter's name, with its ``options``, or an instance. ``parity`` of what is
        returned has the figures.

        Args:
            margin: how much worse than the run a quantized package may be on the run's own
                evaluation, in the unit of its first figure: of shares 0.05 is five points.
            despite_parity: keep a package that answers otherwise; its manifest says so.
            without_rows: ask it the fixed prompts alone, and not the run's own rows, where these
                are gone; its manifest says so.

        Raises:
            ExportError: nothing is left.
            DataError: rows that the recipe names are gone.
            ParityError: it answers otherwise; only ``parity.json`` is left, which says where.
            RunError: this is a base model, or the run is not finished.
            RunBusy: another process is writing there.
        """
        from customize.runs.export import export_run

        return export_run(self, form, Path(to), options, margin, despite_parity, without_rows)

    def __repr__(self) -> str:
        place = self.folder.path if self.folder else self.adapter
        where = place or (self.model.name if self.model else "toy")
        return f"Run({str(where)!r})"


def _streamed(snapshot: Snapshot, prompt: Prompt, sampling: Sampling) -> Iterator[str]:
    """Text as it is drawn: sampling runs in a thread; half characters wait for their rest."""
    drawn: queue.Queue[int | BaseException | None] = queue.Queue()

    def work() -> None:
        try:
            snapshot.sample([prompt], sampling, lambda i, j, token: drawn.put(token)).result()
            drawn.put(None)
        except BaseException as error:
            drawn.put(error)

    threading.Thread(target=work, daemon=True).start()
    text = GrowingText(snapshot.renderer)
    while (item := drawn.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        if piece := text.add(item):
            yield piece
    if rest := text.rest():
        yield rest
