"""NVIDIA GPUs for customize: the backend cuda. Its parts are imported when they are used."""
