"""An index of documents in Tantivy, as a plugin of customize."""
