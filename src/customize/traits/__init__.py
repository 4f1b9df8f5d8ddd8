"""Traits: what a model's answers show and should not, and taking it out of the model."""
