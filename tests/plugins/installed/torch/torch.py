"""In the place of torch."""

__version__ = "2.10.0"
