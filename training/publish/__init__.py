"""Export a network, and publish it or write it for another engine."""
