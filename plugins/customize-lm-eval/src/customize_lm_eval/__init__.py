"""Runs of customize as models of lm-evaluation-harness."""

from __future__ import annotations

from customize_lm_eval.model import RunLM as RunLM
