"""The published model: artifact, classifier and predictions."""
