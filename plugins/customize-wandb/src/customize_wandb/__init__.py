"""Weights & Biases as a plugin of customize."""
