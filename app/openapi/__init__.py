"""Schemas and examples of the API documentation."""
