"""TRL's side: SFTTrainer on rows that are tokens already, which spares it that work.

``packed``: its best here, rows packed into one sequence a step and no gradient checkpointing.
Otherwise its defaults: padded batches and gradient checkpointing. ``named``: the weights as TRL
loads them by a model's name. Adapter, order of rows, optimizer and learning rate are customize's.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from lap_times import LapTimes, each_step

LAPS = LapTimes()
ROWS_AT_ONCE = 8  # of a step's, where they are padded


def main(asked: dict[str, Any]) -> None:
    """Train once in a folder that is thrown away."""
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    class TimedTrainer(SFTTrainer):  # type: ignore[misc]
        """The trainer, watched: the loss as it is, and the tokens that are not padding."""

        seen, shown = 0, 0.0

        def training_step(self, model: Any, inputs: Any, *others: Any, **more: Any) -> Any:
            mask = inputs.get("attention_mask")
            self.seen += int(inputs["input_ids"].numel() if mask is None else mask.sum())
            loss = super().training_step(model, inputs, *others, **more)
            self.shown += float(loss)
            return loss

    work, packed = Path(asked["work"]), asked["packed"]
    rows = [json.loads(line) for line in (work / "tokens.jsonl").read_text("utf-8").splitlines()]
    # Named, a model is loaded by TRL in float32, and autocast to bf16 at every use.
    dtype = torch.float32 if asked["named"] else getattr(torch, asked["dtype"])
    base = AutoModelForCausalLM.from_pretrained(work / "model", dtype=dtype)
    model = PeftModel.from_pretrained(base, work / "adapter", is_trainable=True)
    at_once = min(asked["batch_size"], ROWS_AT_ONCE)
    length = _length_of_packs(rows, asked["steps"]) if packed else 1024
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            max_steps=asked["steps"],
            per_device_train_batch_size=1 if packed else at_once,
            gradient_accumulation_steps=1 if packed else asked["batch_size"] // at_once,
            packing=packed,
            gradient_checkpointing=not packed,
            max_length=length,
            completion_only_loss=True,
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
            model=model,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(work / "model"),
        )
        trainer.add_callback(each_step(trainer, LAPS))
        trainer.train()
    LAPS.print()


def _length_of_packs(rows: list[dict[str, list[int]]], steps: int) -> int:
    """The shortest pack, in 32s, with which all rows make one pack a step, and no more."""
    from datasets import Dataset
    from trl.data_utils import pack_dataset

    data = Dataset.from_list(rows)
    length = sum(len(row["input_ids"]) for row in rows) // steps // 32 * 32
    while len(pack_dataset(data, length, strategy="bfd")) > steps:
        length += 32
    return length


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
