"""The finder's network: from two contrasts of each pixel to centres, sizes, classes and ink."""

CLASSES = (*"0123456789", "point", "comma", "colon", "dash", "slash", "other")
"""What can be at a centre: a digit, a separator, or another sign."""
