"""Encoded pictures to grey pixels."""
