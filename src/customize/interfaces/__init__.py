"""What plugins implement: Model, Dataset, Method, Backend/Session, Exporter, Observer.

No implementation.
"""
