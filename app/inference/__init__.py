"""Compute the predictions for a batch of pictures."""
