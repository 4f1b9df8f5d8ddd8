"""Reinforcement learning as a plugin of customize: GRPO and its family."""
