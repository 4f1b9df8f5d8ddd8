"""The reward of the race: of a random model too it differs within a group. Knows no library."""

from __future__ import annotations


def letters(completion: str) -> float:
    """The share of different characters."""
    return len(set(completion)) / max(len(completion), 1)
