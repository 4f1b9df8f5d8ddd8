"""Packaging: proving that what is served answers as what was trained. Knows no format."""
