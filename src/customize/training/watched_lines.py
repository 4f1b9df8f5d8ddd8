"""All that is watched of a step with a reward, in a few lines. Knows metrics, and no method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

WIDTH = 79
_LABEL = 11  # columns, from which on the measures stand below one another
_Form = tuple[str, str]  # of a metric, and how it is told

# By line; what a step has not is left out, and so is a line of which it has nothing.
_LINES: Mapping[str, Sequence[_Form]] = {
    "flat": (
        ("flat_right", "{:.0%} all right"),
        ("flat_wrong", "{:.0%} all wrong"),
        ("groups_taught", "{:.0f} groups learnt from"),
    ),
    "answers": (
        ("length", "{:.0f} tokens"),
        ("length_max", "{:.0f} at most"),
        ("truncated", "{:.0%} cut"),
        ("turns", "{:.1f} turns"),
        ("distinct", "{:.0%} distinct"),
    ),
    "policy": (
        ("entropy", "entropy {:.2f}"),
        ("kl_to_base", "KL to base {:.2g}"),
        ("kl_to_start", "to start {:.2g}"),
        ("mismatch", "mismatch {:.1g}"),
    ),
    "update": (
        ("grad_norm", "gradient {:.2g}"),
        ("ratio", "ratio {:.3f}"),
        ("clip_low", "clipped {:.0%} low"),
        ("clip_high", "{:.0%} high"),
        ("ess", "ESS {:.0%}"),
    ),
}
_SECONDS = ("sampling_s", "environment_s", "watching_s", "training_s")


def lines_of(metrics: Mapping[str, float]) -> list[str]:
    """Of a step with a reward; none of one without."""
    if "reward" not in metrics:
        return []
    told = {
        "reward": [f"{metrics['reward']:.3f}", *_under(metrics, "reward/", ".3f")],
        **{name: [*_told(metrics, forms)] for name, forms in _LINES.items()},
        "stopped": _under(metrics, "stop/", ".0%"),
        "tools": [*_tools(metrics)],
        "faults": _under(metrics, "faults/", ".0%"),
        "errors": _under(metrics, "errors/", ".0%"),
        "seconds": [f"{n[:-2]} {metrics[n]:.1f}" for n in _SECONDS if n in metrics],
        "held out": [*_held_out(metrics)],
    }
    return [line for name, parts in told.items() for line in _laid_out(name, parts)]


def _told(metrics: Mapping[str, float], forms: Sequence[_Form]) -> Iterator[str]:
    return (form.format(metrics[name]) for name, form in forms if name in metrics)


def _under(metrics: Mapping[str, float], start: str, form: str) -> list[str]:
    """Every metric whose name begins so; shares of nothing are left out."""
    found = {k.removeprefix(start): v for k, v in metrics.items() if k.startswith(start)}
    return [f"{name} {v:{form}}" for name, v in found.items() if v or not form.endswith("%")]


def _tools(metrics: Mapping[str, float]) -> Iterator[str]:
    for name, number in metrics.items():
        if name.startswith("calls/") and not name.endswith("_s"):
            took = 1000 * metrics.get(f"{name}_s", 0.0)
            yield f"{name.removeprefix('calls/')} {number:.1f} calls of {took:.0f} ms"


def _held_out(metrics: Mapping[str, float]) -> Iterator[str]:
    if "validation_reward" in metrics:
        yield f"reward {metrics['validation_reward']:.3f}"
    yield from (f"{k} {v:.0%}" for k, v in metrics.items() if k.startswith("pass@"))


def _laid_out(name: str, parts: Sequence[str]) -> list[str]:
    """As many to a line as there is room for."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 2 + len(part) <= WIDTH:
            lines[-1] += f"  {part}"
        else:
            lines.append(("" if lines else f"  {name}").ljust(_LABEL) + part)
    return lines
