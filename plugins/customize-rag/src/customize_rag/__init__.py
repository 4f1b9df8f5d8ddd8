"""Answering from documents: rows made of them, and the training on those, as a plugin."""
