"""TRL's side of DPO: DPOTrainer on pairs that are tokens already, which spares it that work.

``best``: reference log-probabilities computed once, and no gradient checkpointing. Otherwise its
defaults: the reference computed at each step, and gradient checkpointing. Adapter, order of pairs,
optimizer and learning rate are customize's.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from lap_times import LapTimes, each_step

LAPS = LapTimes()


def main(asked: dict[str, Any]) -> None:
    """Train once in a folder that is thrown away."""
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    class TimedTrainer(DPOTrainer):  # type: ignore[misc]
        """The trainer, watched, and given tokens."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def training_step(self, model: Any, inputs: Any, *others: Any, **more: Any) -> Any:
            self.seen = int(inputs["attention_mask"].sum())
            loss = super().training_step(model, inputs, *others, **more)
            self.shown = float(loss)
            return loss

    work, best = Path(asked["work"]), asked["best"]
    rows = [json.loads(line) for line in (work / "tokens.jsonl").read_text("utf-8").splitlines()]
    base = AutoModelForCausalLM.from_pretrained(
        work / "model", dtype=getattr(torch, asked["dtype"])
    )
    with tempfile.TemporaryDirectory() as folder:
        config = DPOConfig(
            output_dir=folder,
            max_steps=asked["steps"],
            per_device_train_batch_size=asked["batch_size"],
            precompute_ref_log_probs=best,
            gradient_checkpointing=not best,
            max_length=None,
            beta=0.1,
            learning_rate=asked["lr"],
            lr_scheduler_type="constant",
            adam_beta2=0.95,
            train_sampling_strategy="sequential",
            bf16=asked["dtype"] == "bfloat16",
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = TimedTrainer(
            model=PeftModel.from_pretrained(base, work / "adapter", is_trainable=True),
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(work / "model"),
        )
        trainer.add_callback(each_step(trainer, LAPS))
        trainer.train()
    LAPS.print()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
