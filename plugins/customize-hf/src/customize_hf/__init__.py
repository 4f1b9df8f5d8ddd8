"""Export to Hugging Face folders as a plugin of customize."""
