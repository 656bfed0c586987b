"""Read a request body as a batch of pictures."""
