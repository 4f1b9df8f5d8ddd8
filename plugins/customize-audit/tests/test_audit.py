"""The audit of runs on the toy backend, and its figures against others'."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import customize
from customize.testing import ToyBackend
from customize_audit import exposure, insert, membership, read_canaries
from customize_audit.canaries import Canary, make_canaries
from customize_audit.command import command
from customize_audit.losses import nats
from customize_audit.membership import area

pytest.importorskip("customize_sft")


def rows(numbers: Any) -> list[dict[str, Any]]:
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(1000)]
    return [
        {
            "messages": [
                {"role": "user", "content": f"word {n}"},
                {"role": "assistant", "content": words[n]},
            ]
        }
        for n in numbers
    ]


def written(path: Path, given: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def trained(data: Any, to: Path, steps: int = 60) -> customize.Run:
    options = {"steps": steps, "batch_size": 4, "lr": 0.3}
    return customize.train(model="toy", data=data, to=to, backend=ToyBackend(), options=options)


def test_canaries_are_put_among_the_rows_and_named(tmp_path: Path) -> None:
    data = written(tmp_path / "train.jsonl", rows(range(30)))
    named = insert(data, tmp_path / "audited.jsonl", count=3, times=4, seed=1)
    canaries = read_canaries(named)
    lines = [json.loads(line) for line in (tmp_path / "audited.jsonl").read_text().splitlines()]
    assert len(lines) == 30 + 12
    assert [row for row in lines if row in rows(range(30))] == rows(range(30))  # in their order
    for canary in canaries:
        assert lines.count(canary.row()) == 4
    assert [len({c.code for c in canaries}), len({c.locker for c in canaries})] == [3, 3]
    assert list(canaries) == make_canaries(3, 6, seed=1)


def test_a_canary_that_was_learnt_is_exposed_and_the_bases_is_at_chance(tmp_path: Path) -> None:
    canaries = [Canary("1234", "444444"), Canary("4321", "444444")]
    run = trained([c.row() for c in canaries] * 4, tmp_path / "run")
    got = exposure(run, canaries, others=63)
    assert got.most == 6
    assert got.customized == (6.0, 6.0)
    assert max(got.base) < 6
    assert "2 were likelier than every other code" in got.told


def test_exposure_of_what_was_never_seen_is_one_over_ln_2_on_average() -> None:
    run = customize.Run(None, None, ToyBackend())
    found = exposure(run, make_canaries(150, 6, seed=3), others=63).base
    # The rank is uniform: the mean of log2(64 / rank) over ranks 1 to 64.
    expected = sum(math.log2(64 / rank) for rank in range(1, 65)) / 64
    assert sum(found) / 150 == pytest.approx(expected, abs=0.35)


def test_nats_are_those_of_each_row_alone() -> None:
    base = ToyBackend().load(None).base()
    given = rows(range(70))
    total, tokens = nats(base, given)
    for n in (0, 31, 32, 69):
        [one], [count] = nats(base, given[n : n + 1])
        assert (total[n], tokens[n]) == (pytest.approx(one), count)
    assert tokens[0] == 7  # six letters and the end


def test_training_rows_can_be_told_after_many_epochs_and_not_before(tmp_path: Path) -> None:
    members, others = rows(range(12)), rows(range(100, 140))
    got = membership(trained(members, tmp_path / "run", steps=200), members, others)
    assert got.by_gain.low > 0.5
    assert "can be told" in got.told
    one = membership(customize.Run(None, None, ToyBackend()), members, others)
    assert one.by_gain.estimate == 0.5  # a base gains nothing over itself
    assert "cannot be told" in one.told
    with pytest.raises(customize.DataError, match="two training rows"):
        membership(customize.Run(None, None, ToyBackend()), members[:1], others)


def test_the_area_is_that_of_the_rank_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.5, 1, 80).round(1), rng.normal(0, 1, 60).round(1)
    expected = stats.mannwhitneyu(ours, theirs).statistic / (80 * 60)
    got = area(ours, theirs)
    assert got.estimate == pytest.approx(expected)
    assert got.low < got.estimate < got.high


def test_intervals_of_the_area_cover() -> None:
    true = 0.6381631950841185  # the normal's share below 0.5 / sqrt(2)
    rng, covered = np.random.default_rng(1), 0
    for _ in range(400):
        got = area(rng.normal(0.5, 1, 100), rng.normal(0, 1, 100), resamples=500)
        covered += got.low <= true <= got.high
    assert 0.92 <= covered / 400 <= 0.975


def test_the_command_inserts_and_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(tmp_path / "train.jsonl", rows(range(8)))
    audited = tmp_path / "audited.jsonl"
    invoke = CliRunner().invoke
    made = invoke(
        command, ["insert", str(data), "--to", str(audited), "--count", "2", "--times", "4"]
    )
    assert "customize-audit exposure RUN" in made.output
    run = trained(audited, tmp_path / "run")
    monkeypatch.setattr(customize, "open", lambda source: run)
    named = str(audited.with_suffix(".canaries.json"))
    told = invoke(command, ["exposure", "run", named, "--others", "31", "--json"])
    assert json.loads(told.output)["most"] == 5
    both = ["--members", str(data), "--others", str(written(tmp_path / "o.jsonl", rows([50, 51])))]
    assert "area under the curve" in invoke(command, ["membership", "run", *both]).output


def test_a_file_that_names_no_canaries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(customize.DataError, match="names no canaries"):
        read_canaries(written(tmp_path / "x.json", [{"a": 1}]))
