"""Vectors of documents by a sentence-transformers model, for indexes of customize."""
