"""One dialect per file or folder."""
