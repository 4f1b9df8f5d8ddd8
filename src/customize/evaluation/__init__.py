"""Evaluation: is it better, than what, by how much. Knows no method and no backend."""

from __future__ import annotations

from customize.evaluation.evaluate import Evaluation as Evaluation
from customize.evaluation.evaluate import best_instruction as best_instruction
from customize.evaluation.evaluate import evaluate as evaluate
