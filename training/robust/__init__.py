"""The `robust` recipe: distorted copies of the training images, and a teacher whose answers the network learns."""
