"""A model server: takes models by name, serves them over HTTP."""

__version__ = "0.1.0"
