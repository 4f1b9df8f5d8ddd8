"""KTO as a plugin of customize."""
