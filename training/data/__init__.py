"""Read the data: MNIST, or labelled pictures of your own."""
