"""The engine in several processes that compute one thing together. Knows not who started them."""
