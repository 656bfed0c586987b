"""The command `digits`: serve, recognize pictures, train and look at models from one place."""
