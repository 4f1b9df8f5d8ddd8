"""What the whole package is held to, for us and for third parties: the toy backend."""
