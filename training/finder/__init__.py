"""Train the finder, which says where the digits of a picture are, which ink is theirs, and what is no digit."""
