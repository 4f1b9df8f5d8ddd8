"""A backend of customize in numpy."""
