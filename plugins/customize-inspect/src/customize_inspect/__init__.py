"""Runs of customize as models of Inspect: ``customize/runs/pizza``."""
