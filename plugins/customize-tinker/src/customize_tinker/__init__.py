"""A Tinker-compatible training server over any backend of ``customize``."""
