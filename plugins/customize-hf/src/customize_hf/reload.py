"""Loads an exported folder as its users will, in a process of its own, and scores answers.

``python -m customize_hf.reload FOLDER IN.json OUT.json``; knows nothing of customize.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(folder: Path, source: Path, to: Path) -> None:
    """Read questions, write what the folder's model says of them."""
    asked = json.loads(source.read_text("utf-8"))
    model = _load(folder, asked["base"])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    prompts = [
        tokenizer.apply_chat_template(m, add_generation_prompt=True, return_dict=False)
        for m in asked["messages"]
    ]
    scored = [_score(model, answer) for answer in asked["answers"]]
    to.write_text(json.dumps({"prompts": prompts, "scored": scored}), "utf-8")


def _load(folder: Path, base: str) -> Any:  # a model of transformers, or PEFT's around it
    options: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True}
    if not (folder / "adapter_config.json").is_file():
        return AutoModelForCausalLM.from_pretrained(folder, **options).eval()
    from peft import PeftModel

    plain = AutoModelForCausalLM.from_pretrained(base, **options)
    return PeftModel.from_pretrained(plain, str(folder)).eval()


@torch.inference_mode()
def _score(model: Any, answer: dict[str, list[int]]) -> dict[str, list[float]]:
    prompt, tokens = answer["prompt"], answer["tokens"]
    logits = model(input_ids=torch.tensor([prompt + tokens])).logits[0].float()
    logprobs = logits[len(prompt) - 1 : -1].log_softmax(-1)
    wanted = torch.tensor(tokens)
    chosen = logprobs.gather(1, wanted[:, None])[:, 0]
    return {
        "logprobs": chosen.tolist(),
        "greedy": logprobs.argmax(-1).tolist(),
        "margin": (logprobs.amax(-1) - chosen).tolist(),
    }


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
