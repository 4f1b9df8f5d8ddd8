"""Trackio as a plugin of customize."""
