"""The torch engine: any causal model of transformers, on flat batches. Knows no method."""
