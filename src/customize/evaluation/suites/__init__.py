"""Suites: fixed items that ship with the package. Know no customization."""
