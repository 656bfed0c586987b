"""One dialect each."""
