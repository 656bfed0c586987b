"""Find the digits of a picture, the ink that is theirs, and what is written but no digit."""
