"""Training: recipe → run folder → loop → checkpoints → resume. Knows no particular method."""
