"""Assess a network on images that it has not seen."""
