"""TensorBoard as a plugin of customize."""
