"""Batch scoring with Ray Data."""
