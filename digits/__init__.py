"""The domain: what a digit image is, what a model artifact is, how one is classified."""
