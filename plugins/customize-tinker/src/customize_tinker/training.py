"""A model's commands from their arrival to their results, and through a restart.

Knows no HTTP. Lives on the event loop's thread; what it computes is done on the worker's.

The journal is a file for each saved state: commands that came since, as they came; ``done`` for
those whose results change nothing in the model, which are not done again; and ``result`` for what
was known when the state was saved. A model is a function of its commands, so replaying them makes
it what it was, to the bit.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from customize import DataError
from customize_tinker import journal
from customize_tinker.journal import Journal, Record
from customize_tinker.log import Command, CommandLog
from customize_tinker.operations import Load, Operation, Save, SaveInflight, SaveUnnamed, read
from customize_tinker.outcomes import Outcome, failed
from customize_tinker.promises import Promises
from customize_tinker.store import written_beside
from customize_tinker.trainee import Trainee
from customize_tinker.worker import Job, Worker

_LONG_BYTES = 64 << 20  # of a journal, before the state is saved and it begins anew
_LONG_COMMANDS = 1000
_GAP_S = 600.0  # an operation waits for an earlier one

_log = logging.getLogger("customize.tinker")


class Training:
    """One model; its trainee is made or restored by its first job."""

    def __init__(self, trainee: Trainee, folder: Path, promises: Promises, worker: Worker) -> None:
        self._trainee = trainee
        self._folder = folder
        self._promises = promises
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._log = CommandLog()
        self._done: dict[int, Outcome] = {}
        self._since = 0
        self._watched = False
        self.num_open = 0
        folder.mkdir(parents=True, exist_ok=True)
        state = _newest_state(folder)
        self._file = _journal_file(folder, state)
        records = list(journal.read(self._file)) if self._file.is_file() else []
        self._journal = Journal(self._file)
        self._reopen(state, records)

    @property
    def id(self) -> str:
        return self._trainee.model_id

    @property
    def tenant(self) -> str:
        return self._trainee.tenant.name

    def request_id(self, seq: int) -> str:
        return f"{self.id}:{seq}"

    def admit(self, command: Command, operation: Operation | Exception) -> str:
        """The id of its result; a command that comes again has the same one, and is done once."""
        if not self._log.knows(command.seq):
            self._log.check(command.seq)
            self._promises.check_room(self.tenant)
            head = {"is": "command", "seq": command.seq, "kind": command.kind}
            self._journal.append(Record(head, command.body))
            self._promises.new(self.tenant, self.request_id(command.seq))
            self._release(command, operation)
        return self.request_id(command.seq)

    def _release(self, command: Command, operation: Operation | Exception | None = None) -> None:
        self.num_open += 1
        for ready in self._log.admit(command):
            known = operation if ready is command else None
            self._worker.submit(Job(self.tenant, self._execute, payload=(ready, known)))
        self._watch()

    def _watch(self) -> None:
        if self._log.is_stuck and not self._watched:
            self._watched = True
            self._loop.call_later(_GAP_S, self._give_up, self._log.next)

    def _give_up(self, next_: int) -> None:
        """Fail what has waited too long for what its client, which may have died, never sent."""
        self._watched = False
        if self._log.is_stuck and self._log.next == next_:
            self._journal.append(Record({"is": "given up", "seq": next_}))
            self._skip(next_)
        self._watch()

    def _skip(self, next_: int) -> None:
        outcome = failed(DataError(f"operation {next_} never came, and this one comes after it"))
        for command in self._log.skip():
            self._finish(command.seq, outcome)

    def _execute(self, jobs: Sequence[Job]) -> None:
        work: tuple[Command, Operation | Exception | None] = jobs[0].payload  # type: ignore[assignment]
        command, operation = work
        outcome = self._done.pop(command.seq, None) or self._outcome(command, operation)
        self._loop.call_soon_threadsafe(self._finish, command.seq, outcome)

    def _finish(self, seq: int, outcome: Outcome) -> None:
        self.num_open -= 1
        self._promises.resolve(self.tenant, self.request_id(seq), outcome)

    def _outcome(self, command: Command, operation: Operation | Exception | None) -> Outcome:
        """Runs on the worker's thread."""
        try:
            if operation is None:
                asked = read(command.kind, command.body, self._trainee.limits)
                operation = asked.operation
            if isinstance(operation, Exception):
                raise operation
            outcome = self._trainee.execute(operation, command.seq)
        except Exception as error:
            outcome = failed(error)
        self._since += 1
        if isinstance(operation, (Save, SaveUnnamed, SaveInflight)):
            self._note("done", command.seq, outcome, self._journal)
        if self._is_time_to_save(operation, outcome):
            self._save_state(command.seq, outcome)
        return outcome

    def _is_time_to_save(self, operation: object, outcome: Outcome) -> bool:
        """Where replaying would take long, or might not end as it did."""
        if self._trainee.session is None:
            return False
        is_long = self._journal.num_bytes > _LONG_BYTES or self._since >= _LONG_COMMANDS
        return is_long or outcome.at_fault == "server" or isinstance(operation, Load)

    def _save_state(self, seq: int, outcome: Outcome) -> None:
        self._since = 0
        try:
            with written_beside(self._folder / f"state-{seq}") as folder:
                self._trainee.write_state(folder)
            begun = asyncio.run_coroutine_threadsafe(self._begin_journal(seq, outcome), self._loop)
            begun.result()
        except Exception:  # the journal before it still tells everything
            _log.exception("the state of %s could not be saved", self.id)

    async def _begin_journal(self, seq: int, outcome: Outcome) -> None:
        """On the loop's thread, so that no command comes meanwhile."""
        file = _journal_file(self._folder, seq)
        beside = file.with_suffix(".writing")
        beside.unlink(missing_ok=True)
        fresh = Journal(beside)
        for number in range(max(0, seq - 256), seq):
            if known := self._promises.outcome(self.tenant, self.request_id(number)):
                self._note("result", number, known, fresh)
        self._note("result", seq, outcome, fresh)
        for record in journal.read(self._file):
            if record.head["is"] in ("command", "given up") and record.head["seq"] > seq:
                fresh.append(record)
        fresh.close()
        beside.replace(file)
        self._journal.close()
        self._file, self._journal = file, Journal(file)
        _remove_others(self._folder, seq)

    @staticmethod
    def _note(what: str, seq: int, outcome: Outcome, where: Journal) -> None:
        head = {"is": what, "seq": seq, "media": outcome.media, "at_fault": outcome.at_fault}
        where.append(Record(head, outcome.body))

    def _reopen(self, state: int, records: Sequence[Record]) -> None:
        """Every result that was known is known again; every command since is done again."""
        self._log = CommandLog(state + 1)
        if state >= 0:
            restore = self._folder / f"state-{state}"
            self._worker.submit(Job(self.tenant, lambda _: self._trainee.read_state(restore)))
        for record in records:
            if record.head["is"] in ("done", "result"):
                self._know(record)
        for record in records:
            seq = record.head["seq"]
            if record.head["is"] == "given up":
                self._skip(seq)
            elif record.head["is"] == "command" and not self._log.knows(seq):
                self._promises.new(self.tenant, self.request_id(seq))
                self._release(Command(seq, record.head["kind"], record.body))

    def _know(self, record: Record) -> None:
        seq, head = record.head["seq"], record.head
        outcome = Outcome(record.body, head["media"], head["at_fault"])
        if head["is"] == "done":
            self._done[seq] = outcome
            return
        self._promises.new(self.tenant, self.request_id(seq))
        self._promises.resolve(self.tenant, self.request_id(seq), outcome)

    def close(self) -> None:
        """Forget it; its journal has everything."""
        self._journal.close()


def exists(folder: Path) -> bool:
    """Whether a model has begun there."""
    return any(folder.glob("journal-*.log"))


def _newest_state(folder: Path) -> int:
    """The number of the last command in the newest whole state; -1 where there is none."""
    saved = (int(f.stem.removeprefix("journal-")) for f in folder.glob("journal-*.log"))
    return max(saved, default=-1)


def _journal_file(folder: Path, state: int) -> Path:
    return folder / f"journal-{state}.log"


def _remove_others(folder: Path, state: int) -> None:
    for file in folder.glob("journal-*.log"):
        if file != _journal_file(folder, state):
            file.unlink()
    for old in folder.glob("state-*"):
        if old.name != f"state-{state}":
            shutil.rmtree(old, ignore_errors=True)
