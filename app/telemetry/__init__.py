"""Metrics, access log, drift and traces, for operators."""
