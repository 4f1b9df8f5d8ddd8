"""MLflow as a plugin of customize."""
