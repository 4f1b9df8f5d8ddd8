"""TRL's side of GRPO: GRPOTrainer on the same questions, adapter, reward and rate.

``best``: weights loaded in bf16 and no gradient checkpointing. Otherwise what GRPOConfig does
unasked with a model's name: weights in float32, and gradient checkpointing.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from lap_times import LapTimes, each_step
from letters import letters

LAPS = LapTimes()


def reward(completions: list[Any], **columns: Any) -> list[float]:
    """TRL gives messages where the prompt was messages."""
    return [letters(completion[0]["content"]) for completion in completions]


def main(asked: dict[str, Any]) -> None:
    """Train once in a folder that is thrown away."""
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    class TimedTrainer(GRPOTrainer):  # type: ignore[misc]
        """The trainer, watched."""

        def training_step(self, model: Any, inputs: Any, *others: Any, **more: Any) -> Any:
            loss = super().training_step(model, inputs, *others, **more)
            self.seen = round(self._metrics["train"]["completions/mean_length"][-1] * number)
            self.shown = float(self._metrics["train"]["reward"][-1])
            return loss

    work, best = Path(asked["work"]), asked["best"]
    number = asked["prompts"] * asked["group_size"]
    rows = [json.loads(line) for line in (work / "tokens.jsonl").read_text("utf-8").splitlines()]
    dtype = getattr(torch, asked["dtype"]) if best else torch.float32
    base = AutoModelForCausalLM.from_pretrained(work / "model", dtype=dtype)
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            max_steps=asked["steps"],
            per_device_train_batch_size=number,
            num_generations=asked["group_size"],
            max_completion_length=asked["max_tokens"],
            loss_type="dr_grpo",
            scale_rewards="none",
            beta=0.0,
            temperature=1.0,
            shuffle_dataset=False,
            gradient_checkpointing=not best,
            learning_rate=asked["lr"],
            lr_scheduler_type="constant",
            adam_beta2=0.95,
            bf16=asked["dtype"] == "bfloat16",
            use_cpu=asked["device"] == "cpu",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = TimedTrainer(
            model=PeftModel.from_pretrained(base, work / "adapter", is_trainable=True),
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(work / "model"),
        )
        trainer.add_callback(each_step(trainer, LAPS))
        trainer.train()
    LAPS.print(torch.cuda.max_memory_allocated())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
