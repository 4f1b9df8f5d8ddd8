"""A GPU held to the rules, to the processor's numbers and to its own peak; see ``command``."""
