"""AMD GPUs for customize: the backend rocm. Its parts are imported when they are used."""
