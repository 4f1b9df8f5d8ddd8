"""What plugins implement: Model, Dataset, Method, Backend/Session, Exporter. No implementation."""
