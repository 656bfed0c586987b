"""Fit a network, epoch by epoch."""
