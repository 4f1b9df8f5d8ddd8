"""A plugin of customize."""
