"""The doctor tells what is wrong by computing, and what to do; nothing private leaves with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from click.testing import CliRunner

from customize import BackendError, BackendSpec
from customize.cli import doctor_command
from customize.doctor import backends, examination, machine
from customize.doctor.computing import Computed, compute, computed
from customize.doctor.finding import Finding
from customize.doctor.versions import KNOWN, faults, installed
from customize.testing import ToyBackend

EXACT = Computed([0.0, -1.5, -2.0], [3.0, 2.5], {"dtype": "float32"}, 0.1)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's files of a machine with 8 GB free."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    write(tmp_path / "proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def found(root: Path, what: str) -> Finding:
    return next(finding for finding in machine.machine(root) if finding.what == what)


def test_a_quota_below_the_cores_is_a_warning_with_the_threads_to_take(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert found(root, "processor").status == "ok"
    write(root / "sys/fs/cgroup/cpu.max", "250000 100000\n")
    told = found(root, "processor")
    assert told.status == "warning"
    assert "set OMP_NUM_THREADS=2" in told.fix
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert found(root, "processor").status == "ok"


def test_memory_is_what_the_control_group_leaves(root: Path) -> None:
    assert found(root, "memory").told == "8.2 GB free"
    write(root / "sys/fs/cgroup/memory.max", "2000000000\n")
    write(root / "sys/fs/cgroup/memory.current", "500000000\n")
    assert found(root, "memory") == Finding(
        "memory", "warning", "1.5 GB free", "training even a small model takes about 3 GB"
    )


def test_a_system_without_these_files_is_no_fault(tmp_path: Path) -> None:
    assert {finding.status for finding in machine.machine(tmp_path)} <= {"ok", "warning"}


def test_a_cache_that_cannot_be_written_names_the_variable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)
    told = found(root, "disk")
    assert told.status == "fault"
    assert "CUSTOMIZE_CACHE" in told.fix


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.distribution)
def test_a_version_with_a_known_fault_is_told_with_the_one_that_mends_it(known: Any) -> None:
    edge = known.affected.removeprefix("<")
    (told,) = faults({known.distribution: "0.1"})
    assert (told.status, told.fix) == ("fault", known.fix)
    assert edge in known.fix
    assert [f.status for f in faults({known.distribution: edge})] == ["ok"]


def test_versions_are_those_of_the_environment() -> None:
    assert installed()["numpy"] == np.__version__


@attrs.frozen
class Claim:
    """A backend by what its probe says."""

    reason: str | None = None

    def probe(self) -> str | None:
        return self.reason


def test_what_begins_or_reaches_others_is_tried_only_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = BackendSpec(name="other", target="a:B", summary="A cluster.", elsewhere=True)
    found = {"cpu": None, "other": cluster}
    asked: list[str] = []

    def told(name: str, options: Mapping[str, Any] | None = None) -> Computed:
        asked.append(name)
        return EXACT

    monkeypatch.setattr(backends, "specs", lambda kind: found)
    monkeypatch.setattr(backends, "load", lambda kind, name: Claim)
    monkeypatch.setattr(backends, "computed", told)
    _, alone = backends.backends()
    assert set(asked) == {"cpu"}
    assert (alone.status, alone.fix) == ("absent", "customize doctor --backend other")
    assert "would begin or reach other processes" in alone.told
    [named] = backends.backends(["other"])
    assert (named.what, named.status, asked[-1]) == ("backend other", "ok", "other")


def test_backends_of_clusters_and_services_say_that_they_are() -> None:
    for plugin, name in (("customize_ray", "ray"), ("customize_tinker", "tinker")):
        module = pytest.importorskip(f"{plugin}._plugin")
        [spec] = module.customize_backends()
        assert (spec.name, spec.elsewhere) == (name, True)


def examined(
    monkeypatch: pytest.MonkeyPatch, outcome: Callable[[], Computed], reason: str | None = None
) -> Finding:
    def told(name: str, options: Mapping[str, Any] | None = None) -> Computed:
        return EXACT if options else outcome()

    monkeypatch.setattr(backends, "specs", lambda kind: {"cpu": None, "other": None})
    monkeypatch.setattr(backends, "load", lambda kind, name: lambda: Claim(reason))
    monkeypatch.setattr(backends, "computed", told)
    return {finding.what: finding for finding in backends.backends()}["backend other"]


def test_a_backend_that_agrees_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    told = examined(monkeypatch, lambda: EXACT)
    assert told.status == "ok"
    assert "a step lowers the loss" in told.told


def test_a_backend_that_is_not_here_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    told = examined(monkeypatch, lambda: EXACT, reason="there is no GPU")
    assert (told.status, told.told) == ("absent", "cannot run here: there is no GPU")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"logprobs": [0.0, -1.5, -2.001]}, "0.001 nats off"),
        ({"logprobs": [0.0, float("nan"), -2.0]}, "not finite"),
        ({"losses": [3.0, 3.5]}, "a step does not lower the loss: 3.0000 to 3.5000"),
        ({"logprobs": [0.0, -1.9, -2.0], "numerics": {"dtype": "bfloat16"}}, "0.4 nats off"),
    ],
)
def test_a_backend_that_computes_wrongly_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], told: str
) -> None:
    finding = examined(monkeypatch, lambda: attrs.evolve(EXACT, **change))
    assert finding.status == "fault"
    assert told in finding.told
    assert "python -m customize.testing backend other" in finding.fix


def test_a_backend_whose_process_dies_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies() -> Computed:
        raise BackendError("it ended with code -11")

    told = examined(monkeypatch, dies)
    assert (told.status, told.told) == ("fault", "it ended with code -11")
    assert "python -m customize.doctor.computing other" in told.fix


ACME = r"""
import customize
from customize.testing import ToyBackend


class GPU(ToyBackend):
    def settled(self, kept):
        raise RuntimeError(
            "CUDA error: no kernel image is available for execution on the device\n"
            "CUDA kernel errors might be asynchronously reported at some other API call.\n"
            "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
            "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
        )


@customize.hookimpl
def customize_backends():
    yield customize.BackendSpec(name="acme", target="acme_gpu:GPU", summary="One.")
"""


def test_of_a_process_that_died_what_it_raised_is_told_and_not_what_explains_it(
    install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-gpu", ACME)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    with pytest.raises(
        BackendError, match=r"^RuntimeError: CUDA error: no kernel image is .*device$"
    ):
        computed("acme")


def test_what_it_advises_for_a_fault_shows_where_it_was_raised() -> None:
    command = [sys.executable, "-m", "customize.doctor.computing", "no-such"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "Traceback" in done.stderr
    assert "no-such" in json.loads(done.stdout)["error"]


def test_a_backend_that_nobody_has_is_told_with_how_to_see_those_there_are() -> None:
    [told] = backends.backends(["nope"])
    assert (told.status, told.fix) == ("fault", "customize plugins, which lists what is installed")


def test_what_a_backend_computes_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    on = attrs.evolve(EXACT, hardware={"device": "Made Up 1000", "fp8": "yes"})
    told = examined(monkeypatch, lambda: on)
    assert "; dtype float32; device Made Up 1000, fp8 yes; " in told.told


def test_rounding_of_bfloat16_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = attrs.evolve(EXACT, logprobs=[0.0, -1.52, -2.0], numerics={"dtype": "bfloat16"})
    assert examined(monkeypatch, lambda: rounded).status == "ok"


def test_the_toy_backend_is_computed_with_as_any_other() -> None:
    made = compute(ToyBackend())
    assert len(made.logprobs) == 69
    assert made.losses[1] < made.losses[0]


def test_what_a_process_says_last_is_told() -> None:
    with pytest.raises(BackendError, match="no-such"):
        computed("no-such")


@pytest.mark.slow
def test_the_processor_of_this_machine_is_well() -> None:
    pytest.importorskip("customize_torch")
    exact, rounded = computed("cpu", {"dtype": "float32"}), computed("cpu")
    assert exact.losses[1] < exact.losses[0]
    assert exact.hardware["bf16"].endswith(" times as fast as float32")
    np.testing.assert_allclose(rounded.logprobs, exact.logprobs, atol=0.2)


def test_nothing_private_is_in_the_json(tmp_path: Path) -> None:
    told = Finding("plugins", "fault", f"{tmp_path}/secret: {Path.cwd()}/here", "look")
    (made,) = examination.as_json([told], home=tmp_path)["findings"]
    assert made["told"] == "~/secret: ./here"


def test_the_command_ends_with_1_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Finding("memory", "fault", "none at all " * 9, "buy some")
    for finding, code in ((wrong, 1), (attrs.evolve(wrong, status="warning"), 0)):
        monkeypatch.setattr(examination, "examine", lambda only, finding=finding: iter([finding]))
        shown = CliRunner().invoke(doctor_command.command)
        assert shown.exit_code == code
        assert "to do: buy some" in shown.output
        assert max(map(len, shown.output.splitlines())) <= 80
        told = CliRunner().invoke(doctor_command.command, ["--json"])
        assert json.loads(told.output)["schema"] == "customize-doctor/1"


@pytest.fixture
def alice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who works here, and on what."""
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-07.lab.example")


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("/scratch/alice/models is full", "<path> is full"),
        ("no file '/scratch/my models/a.bin' there", "no file '<path>' there"),
        ("(/data/x), /mnt/y: gone", "(<path>), <path>: gone"),
        (r"C:\Users\bob\models: gone", "<path>: gone"),
        ("file:///srv/wheels is read", "file://<path> is read"),
        ("alice may not write on gpu-07", "<user> may not write on <host>"),
        ("from GPU-07.lab.example by Alice", "from <host> by <user>"),
        # What tells nobody who it is.
        ("there is no /sys/class/kfd", "there is no /sys/class/kfd"),
        ("see https://pytorch.org/get-started/locally", ...),
        ("write to ~/models or ./rows at 12 tokens/s", ...),
        ("malice and gpu-071 are others", ...),
    ],
)
def test_what_tells_who_someone_is_is_taken_out(told: str, shown: Any, tmp_path: Path) -> None:
    finding = Finding("disk", "fault", told, told)
    (made,) = examination.as_json([finding], home=tmp_path)["findings"]
    assert made["told"] == made["fix"] == (told if shown is ... else shown)


@pytest.mark.usefixtures("alice")
def test_a_root_for_a_home_or_a_place_to_work_takes_no_slash_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir("/")
    told = "see https://example.org/a/b, at 3 tokens/s"
    (made,) = examination.as_json([Finding("disk", "fault", told)], home=Path("/"))["findings"]
    assert made["told"] == told


def test_a_folder_whose_name_begins_like_the_home_is_not_in_it(tmp_path: Path) -> None:
    finding = Finding("disk", "fault", f"{tmp_path}x/a")
    (made,) = examination.as_json([finding], home=tmp_path)["findings"]
    assert made["told"] == "<path>"
