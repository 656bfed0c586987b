"""Pictures of several digits: find them, cut them apart, and read them."""
