"""It raises."""

raise ValueError("torn at line 3")
