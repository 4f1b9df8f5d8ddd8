"""The table of the example that answers from documents: its figures can be what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

from write_rag_table import _figures_of


def test_no_interval_goes_above_what_a_figure_can_be() -> None:
    ranks = [(f"business {number}", "known", 2 if number == 0 else 1) for number in range(15)]
    *_, mrr, ndcg = _figures_of(ranks)
    for told in (mrr, ndcg):
        [high] = re.findall(r", (\S+)\]", told)
        assert float(high) == 1, told
