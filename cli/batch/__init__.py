"""`digits predict --output` and `digits read --output`: many pictures to one file, on all cores."""
