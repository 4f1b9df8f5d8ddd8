"""Direct preference optimisation and its family as a plugin of customize."""
