"""Training in the lecture's order: data, network, recipe, fit, assess, report, export."""
