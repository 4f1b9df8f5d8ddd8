"""What is trained in the benchmarks: a model's folder, rows in the order they come, an adapter.

``python works.py WORK FOLDER ROWS_A_STEP STEPS`` makes the folder:

* ``model``: what either side loads;
* ``rows.jsonl``: the pizza store's rows, as a person would give them, or chats made of their
  turns, of as many lengths as people's chats have;
* ``tokens.jsonl``: the same as tokens and mask, in the order customize trains on them;
* ``adapter``: LoRA as it is at the start, in PEFT's format, so that both sides begin alike.

``make_prompts`` makes one with the store's questions alone, in ``rows.jsonl`` and as messages that
TRL takes in ``tokens.jsonl``, in the order customize asks them.

``make_pairs`` makes one with pairs instead: ``rows.jsonl`` has the store's answers as chosen and
another question's answer as rejected; ``tokens.jsonl`` has prompt, chosen and rejected apart.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import customize
from customize_dpo.pairs import Pairs
from customize_sft.method import SFT
from customize_sft.rows import Rows
from customize_torch.backend import CPU

SEED = 0
PIZZA = Path(__file__).parent.parent / "examples/pizza/train.jsonl"

# Shapes with random weights; None is the real SmolLM2-135M-Instruct.
WORKS: dict[str, dict[str, Any] | None] = {
    "small llama": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "vocab_size": 32_000,
        "tie_word_embeddings": False,
    },
    "Qwen2.5-0.5B shape": {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    "SmolLM2-135M": None,
}


def make(work: str, folder: Path, batch_size: int, steps: int, alike: bool = True) -> None:
    """Write the work's folder; one that is there already is kept.

    alike: rows of about the same length, as the store's are.
    """
    chats = _conversations(batch_size * steps) if alike else _chats(batch_size * steps)
    _make(work, folder, [{"messages": messages} for messages in chats], _in_order)


def make_pairs(work: str, folder: Path, batch_size: int, steps: int) -> None:
    """The same with pairs."""
    chats = _conversations(batch_size * steps)
    others = [*chats[3:], *chats[:3]]  # rows beside one another may share their answer
    rows = [
        {"prompt": chat[:-1], "chosen": chat[-1:], "rejected": other[-1:]}
        for chat, other in zip(chats, others, strict=True)
    ]
    _make(work, folder, rows, _pairs_in_order)


def make_prompts(work: str, folder: Path, batch_size: int, steps: int) -> None:
    """The same with questions alone, as the episodes of a step begin."""
    chats = _conversations(batch_size * steps)
    _make(work, folder, [{"prompt": chat[:-1]} for chat in chats], _prompts_in_order)


def _prompts_in_order(file: Path, session: customize.Session) -> list[dict[str, Any]]:
    data = customize.read(file, kind="prompt")
    order = [customize.shuffled_row(SEED, place, len(data)) for place in range(len(data))]
    return [{"prompt": data[row]["messages"]} for row in order]


def _chats(count: int) -> list[list[dict[str, str]]]:
    """Chats of 1 to 12 exchanges, log-normal as the lengths of people's chats are."""
    rng = np.random.default_rng(SEED)
    exchanges = [chat[1:] for chat in _conversations(300)]
    sizes = np.clip(np.rint(rng.lognormal(np.log(2.0), 0.9, count)), 1, 12).astype(int)
    return [
        [message for i in rng.integers(len(exchanges), size=size) for message in exchanges[i]]
        for size in sizes
    ]


def _conversations(count: int) -> list[list[dict[str, str]]]:
    """The store's exchanges, each with its system prompt."""
    chats = [json.loads(line)["messages"] for line in PIZZA.read_text("utf-8").splitlines()]
    exchanges = [[chat[0], *chat[at : at + 2]] for chat in chats for at in range(1, len(chat), 2)]
    if len(exchanges) < count:
        raise SystemExit(f"{PIZZA} has {len(exchanges)} exchanges; {count} are asked for")
    return exchanges[:count]


def _make(
    work: str,
    folder: Path,
    rows: list[dict[str, Any]],
    in_order: Callable[[Path, customize.Session], list[dict[str, Any]]],
) -> None:
    if folder.exists():
        return
    beside = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    shape = WORKS[work]
    shutil.copytree(customize.resolve("smollm2").path, beside / "model")
    if shape is not None:
        _with_random_weights(beside / "model", shape)
    _write(beside / "rows.jsonl", rows)
    session = CPU().load(customize.resolve(beside / "model")).open(customize.LoRA(), seed=SEED)
    session.save_weights(beside / "adapter")
    _write(beside / "tokens.jsonl", in_order(beside / "rows.jsonl", session))
    beside.rename(folder)


def _pairs_in_order(file: Path, session: customize.Session) -> list[dict[str, list[int]]]:
    data = customize.read(file, kind="preference")
    pairs = Pairs(data, session.renderer, max_length=1_000_000)
    order = [customize.shuffled_row(SEED, place, len(data)) for place in range(len(data))]
    return [_apart(pairs.batch([row])) for row in order]


def _apart(pair: customize.Batch) -> dict[str, list[int]]:
    """TRL trains on all that comes after a prompt: what we do not train there is left out."""
    chosen, rejected = (pair.take([side]) for side in (0, 1))
    return {
        "prompt_ids": chosen.tokens[: int(chosen.scored.argmax())].tolist(),
        "chosen_ids": chosen.tokens[chosen.scored].tolist(),
        "rejected_ids": rejected.tokens[rejected.scored].tolist(),
    }


def _in_order(file: Path, session: customize.Session) -> list[dict[str, list[int]]]:
    data = customize.read(file, kind="chat")
    rendered = customize.render_rows(data, session.renderer)
    order = Rows(data, rendered, [], max_length=1_000_000, shorten=SFT.shorten)
    chosen = [rendered[order.at(SEED, place)] for place in range(len(data))]
    return [
        {
            "input_ids": row.tokens.tolist(),
            "completion_mask": [int(weight > 0) for weight in row.weights],
        }
        for row in chosen
    ]


def _with_random_weights(folder: Path, shape: dict[str, Any]) -> None:
    """Replace SmolLM2's weights, keeping its tokenizer, cut where the vocabulary is smaller."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    for file in (*folder.glob("*.safetensors*"), folder / "config.json"):
        file.unlink(missing_ok=True)
    _cut_tokenizer(folder / "tokenizer.json", shape["vocab_size"])
    values = {k: v for k, v in shape.items() if k != "model_type"}
    torch.manual_seed(SEED)
    config = AutoConfig.for_model(
        shape["model_type"], **values, bos_token_id=1, eos_token_id=2, pad_token_id=2
    )
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)


def _cut_tokenizer(file: Path, size: int) -> None:
    """Leave out the tokens from ``size`` on, and the merges that made them."""
    tokenizer = json.loads(file.read_text("utf-8"))
    model = tokenizer["model"]
    model["vocab"] = {token: i for token, i in model["vocab"].items() if i < size}
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    model["merges"] = [pair for pair in merges if "".join(pair) in model["vocab"]]
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), "utf-8")


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


if __name__ == "__main__":
    name, place, rows_a_step, count = sys.argv[1:]
    make(name, Path(place), int(rows_a_step), int(count))
