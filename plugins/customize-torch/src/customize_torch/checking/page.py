"""What was found, as a short table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from customize_torch.holding import PLAIN

Found = Mapping[str, Any]  # as in gpu.json
GLOSSARY = """
Trained: LoRA of rank 16 on packed sequences of 2,048 tokens, every token trained on, random
weights; an optimizer step included. *Of peak* counts 4 operations a weight and token and three
times causal attention's forward pass, against the peak below in dense bf16. Held is all that is
taken of the device, planned what `customize plan` says of the same training. Decode: a step of
64 rows; *bound* is the time to read the weights and what the cache holds once, at the peak
bandwidth, over the time that it takes; in 8 or 4 bits the weights are made whole at every step, and
the bound is that of plain ones all the same.""".strip()


_INT8 = (
    "Device and processor each make the base: where a row's scale differs in its last bit, a "
    "weight half way between takes the other of two codes, so these are two bases and not one "
    "rounded otherwise; in bfloat16 that is lost in the rounding of the type"
)


def table(found: Found) -> str:
    """Markdown; a part that was not asked for is left out."""
    return "\n".join(line for part in _PARTS for line in part(found))


def _machine(found: Found) -> Iterator[str]:
    told = found["machine"]
    built = f"CUDA {told['cuda']}" if told["cuda"] else f"ROCm {told['hip']}"
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    yield (
        f"**{told['device']}**, {told['memory_gb']:.0f} GB; torch {told['torch']}, {built}, "
        f"Python {told['python']}; {versions}."
    )
    yield ""


def _rules(found: Found) -> Iterator[str]:
    if rules := found.get("rules"):
        yield (
            f"* rules of a backend: {rules['passed']} kept, {len(rules['failed'])} not, "
            f"{len(rules['skipped'])} that do not apply"
        )
        for row in rules["failed"]:
            yield f"  * **not kept**: {row['rule']} with {row['options']}: {row['reason']}"


def _numbers(found: Found) -> Iterator[str]:
    numbers = found.get("numbers", {})
    for row in numbers.get("rows", ()):
        verdict = ": **more than is allowed**" if row in numbers["failed"] else ""
        if verdict and row.get("base") == "int8":
            verdict = f"{verdict}. {_INT8}"
        yield (
            f"* beside the processor in float32, {row['dtype']}, kernels of {row['kernels']}"
            f"{_held(row)}: "
            f"log-probabilities {row['logprobs_mean']:.1e} nats apart on average "
            f"({row['logprobs_max']:.1e} at most), gradient {row['gradient']:.1e} of its length"
            f"{verdict}"
        )


def _held(row: Mapping[str, Any]) -> str:
    """Nothing of a plain base; those of old files are."""
    base = row.get("base", PLAIN)
    return "" if base == PLAIN else f", both bases in {base}"


def _training(found: Found) -> Iterator[str]:
    training = found.get("training", {})
    for name, of in (("sft", "loss"), ("dpo", "loss"), ("grpo", "reward")):
        if row := training.get(name):
            yield (
                f"* {name} of {training['model']}, {row['steps']} steps: "
                f"{of} {row[f'first_{of}']:.3f} → {row[f'last_{of}']:.3f}"
            )


def _speed(found: Found) -> Iterator[str]:
    speed = dict(found.get("speed", {}))
    peaks, _ = speed.pop("peaks", None), speed.pop("seconds", None)
    if not peaks:
        return
    yield ""
    yield "| shape | tokens | tokens/s trained | of peak | GB held | planned | decode ms | bound |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, row in speed.items():
        cells = (
            str(row["tokens"]),
            f"{row['tokens_per_second']:,.0f}",
            f"{row['mfu']:.0%}",
            f"{row['held_gb']:.1f}",
            f"{row['planned_gb']:.1f}",
            f"{1e3 * row['decode_step_seconds']:.1f}",
            f"{row['decode_of_bound']:.0%}",
        )
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield f"Peak {_peaks(peaks)}."


def _peaks(peaks: Mapping[str, float]) -> str:
    """By the data sheet, where one was known."""
    flops, num_bytes, measured_flops, measured_bytes = (
        peaks[name] / 1e12 for name in ("flops", "bytes", "measured_flops", "measured_bytes")
    )
    if flops == measured_flops:
        return f"measured there, without a data sheet: {flops:.0f} TFLOP/s and {num_bytes:.2f} TB/s"
    return (
        f"by the data sheet: {flops:.0f} TFLOP/s and {num_bytes:.2f} TB/s; measured there: "
        f"{measured_flops:.0f} and {measured_bytes:.2f}"
    )


_PARTS = (_machine, _rules, _numbers, _training, _speed)
