"""The torch engine in many processes that torchrun started. Knows no method."""
