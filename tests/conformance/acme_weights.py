"""A package that models of these tests look for; nobody imports it."""
