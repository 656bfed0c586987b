"""One digit to the network's 28x28 pixels."""
