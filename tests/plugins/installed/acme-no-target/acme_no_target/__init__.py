"""Its targets cannot be imported."""
