"""The doctor: whether this machine computes what it must, found by computing."""
