"""The backend ``tinker``: any method of ``customize`` on a service that speaks the protocol."""
