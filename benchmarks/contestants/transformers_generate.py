"""transformers' side: ``generate`` in float32, its tokens taken from a streamer as they come."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from answer_times import Tokens, report, size_of

import customize


class Streamer:
    """What ``generate`` hands each token to; the prompt comes first."""

    def __init__(self) -> None:
        self.tokens: SimpleQueue[int | None] = SimpleQueue()
        self._is_prompt = True

    def put(self, value: Any) -> None:
        if not self._is_prompt:
            self.tokens.put(int(value))
        self._is_prompt = False

    def end(self) -> None:
        self.tokens.put(None)


def main(questions: list[str], tokens: int, threads: int) -> None:
    """Answer in a process of its own."""
    folder = customize.resolve("smollm2").path
    start = time.perf_counter()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    loaded_after = time.perf_counter() - start
    how = {"do_sample": False, "max_new_tokens": tokens, "min_new_tokens": tokens}

    def stream(prompt: Tokens) -> Iterator[int]:
        streamer = Streamer()
        given = {"input_ids": torch.tensor([prompt]), "streamer": streamer, **how}
        threading.Thread(target=model.generate, kwargs=given).start()
        while (token := streamer.tokens.get()) is not None:
            yield token

    def together(prompts: Sequence[Tokens]) -> Iterable[Tokens]:
        given = tokenizer.pad({"input_ids": [[*p] for p in prompts]}, return_tensors="pt")
        rows = model.generate(**given, **how)[:, given["input_ids"].shape[1] :]
        answers: list[list[int]] = rows.tolist()
        return answers

    asked = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": q}], add_generation_prompt=True, return_dict=False
        )
        for q in questions
    ]
    report(loaded_after, size_of(folder, "*.safetensors"), asked, stream, together)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(given["questions"], given["tokens"], given["threads"])
