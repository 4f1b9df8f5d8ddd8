"""``access.yaml``: who may see which files of a folder. It lies with them, so none forgets it.

A fault in it is refused: what it was to protect would else be open to everyone.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import yaml

from customize._errors import DataError

NAME = "access.yaml"
_LIKE_IT = (NAME, "access.yml")
_EXAMPLE = "'hr/*: [hr]' lets those with the tag hr see what is in the folder hr"


def read_access(folder: Path) -> Mapping[str, frozenset[str]]:
    """Tags by pattern, in the order written; none where there is no such file.

    Raises:
        DataError: it is not a mapping of patterns to lists of tags.
    """
    file = folder / NAME
    if not os.path.lexists(file):
        return {}
    try:
        node = yaml.compose(file.read_text("utf-8"), Loader=yaml.SafeLoader)
        values = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    if not isinstance(node, yaml.MappingNode) or not all(map(_is_rule, values.items())):
        raise DataError(f"{file} holds a pattern and its tags a line: {_EXAMPLE}")
    if len(node.value) != len(values):
        raise DataError(f"{file} has one pattern twice: join their tags")
    return {pattern: frozenset(tags) for pattern, tags in values.items()}


def tags_by_file(
    access: Mapping[str, frozenset[str]], ids: Collection[str], folder: Path
) -> dict[str, frozenset[str]]:
    """The tags of each file: those of the last pattern that fits it.

    Raises:
        DataError: a pattern fits none of them, or one of them looks as if it said who may see
            what, and so protects nothing.
    """
    if misplaced := [id for id in ids if PurePosixPath(id).name.casefold() in _LIKE_IT]:
        raise DataError(
            f"{folder / min(misplaced)} protects nothing: {folder / NAME} alone says who may see "
            f"what. Move its lines there, with paths from there on ({_EXAMPLE}), or rename it"
        )
    idle, found = set(access), {}
    for id in ids:
        fitting = [pattern for pattern in access if fnmatchcase(id, pattern)]
        idle.difference_update(fitting)
        found[id] = access[fitting[-1]] if fitting else frozenset[str]()
    if idle:
        raise DataError(
            f"{folder / NAME}: {min(idle)!r} fits no file of the folder, and so protects none. "
            f"Correct it or take it out; {_EXAMPLE}"
        )
    return found


def _is_rule(item: tuple[object, object]) -> bool:
    pattern, tags = item
    return (
        isinstance(pattern, str)
        and isinstance(tags, list)
        and all(isinstance(tag, str) and tag for tag in tags)
    )
