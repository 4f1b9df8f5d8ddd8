"""Models, data sets and readers that break one rule each, and honest ones."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import customize
from customize.models.cache import made_once
from customize.testing import write_tiny_model

Row = dict[str, Any]


class Model:
    """An honest source: made once, cached, out of a package that is there."""

    def fetch(self, dtype: str = "bfloat16") -> Path:
        if find_spec("acme_weights") is None:
            raise customize.MissingDependency("the weights are elsewhere: pip install acme-weights")
        return made_once("models", "tiny", self.make)

    def make(self, folder: Path) -> None:
        write_tiny_model(folder)


class Untemplated(Model):
    def make(self, folder: Path) -> None:
        super().make(folder)
        (folder / "tokenizer_config.json").write_text("{}")


class Drawn(Model):
    def make(self, folder: Path) -> None:
        write_tiny_model(folder, seed=random.SystemRandom().randrange(10**6))


class MadeEachTime(Model):
    def fetch(self, dtype: str = "bfloat16") -> Path:
        folder = super().fetch(dtype)
        config = (folder / "config.json").read_bytes()
        (folder / "config.json").write_bytes(config)
        return folder


class Imports(Model):
    def fetch(self, dtype: str = "bfloat16") -> Path:
        if find_spec("acme_weights") is None:
            raise ModuleNotFoundError("No module named 'acme_weights'")
        return super().fetch(dtype)


class Data:
    """An honest data set of three rows."""

    kind = "chat"

    def __init__(self) -> None:
        self.rows: list[Row] = [
            {
                "messages": [
                    {"role": "user", "content": f"question {i}"},
                    {"role": "assistant", "content": f"answer {i}"},
                ]
            }
            for i in range(3)
        ]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(b"three rows").hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Row:
        row: Row = json.loads(json.dumps(self.rows[index]))
        return row


class Endless(Data):
    def __getitem__(self, index: int, /) -> Row:
        return super().__getitem__(index % len(self))


class Odd(Data):
    kind = "questions"


class Counting(Data):
    """Another fingerprint each time it is made."""

    made = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.number = next(self.made)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(str(self.number).encode()).hexdigest()


class Turning(Data):
    """In another order each time it is made."""

    made = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        turns = next(self.made) % 3
        self.rows = self.rows[turns:] + self.rows[:turns]


class Shared(Data):
    def __getitem__(self, index: int, /) -> Row:
        return self.rows[index]


def read(path: Path) -> Iterator[Mapping[str, Any]]:
    """An honest reader of one JSON object a line."""
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)


def read_pairs(path: Path) -> Iterator[Any]:
    for row in read(path):
        yield list(row.items())


_READS = itertools.count()


def read_with_a_number(path: Path) -> Iterator[Mapping[str, Any]]:
    number = next(_READS)
    for row in read(path):
        yield {**row, "number": number}


def read_beside(path: Path) -> Iterator[Mapping[str, Any]]:
    path.with_suffix(".index").write_text("0")
    yield from read(path)


def read_anything(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        yield from read(path)
    except ValueError:
        return


MODELS: dict[str, Callable[[], Model]] = {
    "check_folder_is_a_model": Untemplated,
    "check_model_fingerprint_is_stable": Drawn,
    "check_second_fetch_writes_nothing": MadeEachTime,
    "check_missing_package_is_told": Imports,
}
DATASETS: dict[str, Callable[[], Data]] = {
    "check_rows_are_counted": Endless,
    "check_rows_are_of_their_kind": Odd,
    "check_dataset_fingerprint_is_stable": Counting,
    "check_rows_are_the_same_each_time": Turning,
    "check_rows_are_not_shared": Shared,
}
READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    "check_a_file_gives_rows": read_pairs,
    "check_reading_repeats": read_with_a_number,
    "check_the_file_is_left_alone": read_beside,
    "check_damage_is_told": read_anything,
}
