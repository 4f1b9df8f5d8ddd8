"""The torch engine in actors of a Ray cluster. Knows no method."""
