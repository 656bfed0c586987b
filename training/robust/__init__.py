"""The `robust` recipe: distorted copies of the training images, and a teacher that the served network learns from."""
