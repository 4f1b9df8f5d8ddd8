"""An index of documents in LanceDB, as a plugin of customize."""
