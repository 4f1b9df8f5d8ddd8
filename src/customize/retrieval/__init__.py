"""Retrieval: documents to chunks, chunks to an index, a question to chunks.

Knows no model, no prompt and no training.
"""
