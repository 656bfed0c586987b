"""Training in the lecture's order: data, network, recipes, fit, assess, report, export; `pipeline` joins them."""
