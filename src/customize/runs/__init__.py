"""Runs: train and open. What ties the stages together."""
