"""A model as judge: asked of answers, or of pairs in both orders, and held against people."""

from __future__ import annotations

from customize.evaluation.judging.judge import Judge as Judge
from customize.evaluation.judging.labels import read_labels as read_labels
from customize.evaluation.judging.trust import judge_notes as judge_notes
from customize.evaluation.judging.trust import judge_summaries as judge_summaries
from customize.evaluation.judging.verdicts import judged as judged
