"""The batch: sequences side by side, without padding. Knows nothing of models or losses.

Shape legend: N tokens in all, S sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from customize._errors import DataError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Batch:
    """Sequences of tokens with a number per token and name.

    tokens: int32 [N], all sequences one after the other.
    offsets: int64 [S+1]; sequence s is ``tokens[offsets[s]:offsets[s + 1]]``.
    columns: float32 [N] each; entry i belongs to the log-probability of ``tokens[i]`` given what
        precedes it in its sequence. ``weights`` is always there: where it is 0 no log-probability
        is computed.
    sequence_columns: float32 [S] each. ``row``, where it is given, is the number from 1 of the row
        that a sequence comes from, and is told in errors.
    groups: int32 [S]; sequences of one group (a pair, the completions of a prompt) are never cut
        apart for a loss coupled by group.
    """

    tokens: Ints
    offsets: Longs
    columns: Mapping[str, Floats]
    sequence_columns: Mapping[str, Floats] = attrs.field(factory=dict)
    groups: Ints = attrs.field(
        default=attrs.Factory(
            lambda self: np.arange(len(self.offsets) - 1, dtype=np.int32), takes_self=True
        )
    )

    def __attrs_post_init__(self) -> None:
        n, s = len(self.tokens), len(self.offsets) - 1
        if "weights" not in self.columns:
            raise DataError("a batch needs the column 'weights'")
        if s < 0 or self.offsets[0] != 0 or self.offsets[-1] != n:
            raise DataError(f"offsets must run from 0 to the number of tokens, {n}")
        if (np.diff(self.offsets) <= 0).any():
            raise DataError("every sequence of a batch needs at least one token")
        _check_lengths("column", self.columns, n, "tokens")
        _check_lengths("sequence column", self.sequence_columns, s, "sequences")
        _check_lengths("groups", {"groups": self.groups}, s, "sequences")

    @classmethod
    def from_sequences(
        cls,
        sequences: Sequence[tuple[npt.ArrayLike, Mapping[str, npt.ArrayLike]]],
        sequence_columns: Mapping[str, npt.ArrayLike] | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Batch:
        """Join ``(tokens, {column: values})`` pairs; every pair has the same columns."""
        if not sequences:
            raise DataError("a batch needs at least one sequence")
        tokens = [np.asarray(t, np.int32) for t, _ in sequences]
        offsets = np.concatenate([[0], np.cumsum([len(t) for t in tokens])]).astype(np.int64)
        names = sequences[0][1].keys()
        columns = {
            name: np.concatenate([np.asarray(c[name], np.float32) for _, c in sequences])
            for name in names
        }
        return cls(
            np.concatenate(tokens),
            offsets,
            columns,
            {k: np.asarray(v, np.float32) for k, v in (sequence_columns or {}).items()},
            np.arange(len(tokens), dtype=np.int32)
            if groups is None
            else np.asarray(groups, np.int32),
        )

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    @property
    def num_sequences(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Longs:
        """Tokens in each sequence, int64 [S]."""
        return np.diff(self.offsets)

    @property
    def weights(self) -> Floats:
        """float32 [N]."""
        return self.columns["weights"]

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """Where log-probabilities exist: a weight, and a token before it. bool [N]."""
        mask: npt.NDArray[np.bool_] = self.weights != 0
        mask[self.offsets[:-1]] = False
        return mask

    def sum_by_sequence(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Sum ``values`` [N] over each sequence: [S]. Works on torch tensors as well."""
        if isinstance(values, np.ndarray):
            return np.add.reduceat(values, self.offsets[:-1])
        from customize._differentiate import sum_by_sequence

        return sum_by_sequence(values, self.offsets)

    def take(self, sequences: npt.ArrayLike) -> Batch:
        """The batch of these sequences only, in the order given."""
        chosen = np.asarray(sequences, np.int64)
        where = self.positions_of(chosen)
        offsets = np.concatenate([[0], np.cumsum(self.lengths[chosen])]).astype(np.int64)
        return Batch(
            self.tokens[where],
            offsets,
            {k: v[where] for k, v in self.columns.items()},
            {k: v[chosen] for k, v in self.sequence_columns.items()},
            self.groups[chosen],
        )

    def positions_of(self, sequences: npt.ArrayLike) -> Longs:
        """Positions in ``tokens`` of these sequences' tokens, in the order of ``take``."""
        chosen = np.asarray(sequences, np.int64)
        if len(chosen) == 0:
            return np.zeros(0, np.int64)
        return np.concatenate([np.arange(self.offsets[s], self.offsets[s + 1]) for s in chosen])

    def with_columns(self, **columns: npt.ArrayLike) -> Batch:
        """The same batch with columns added or replaced."""
        new = {k: np.asarray(v, np.float32) for k, v in columns.items()}
        return attrs.evolve(self, columns={**self.columns, **new})


def _check_lengths(what: str, arrays: Mapping[str, npt.NDArray], n: int, unit: str) -> None:  # type: ignore[type-arg]
    for name, values in arrays.items():
        if len(values) != n:
            raise DataError(f"{what} {name!r} has {len(values)} entries for {n} {unit}")
