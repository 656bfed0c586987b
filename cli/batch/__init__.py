"""`digits predict --output`: many pictures to one file, on all cores."""
