"""The networks, and the recipes that train them."""
