"""The published model: artifact, classifier, backend and predictions."""
