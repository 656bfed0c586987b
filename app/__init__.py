"""The web service: HTTP concerns only."""
