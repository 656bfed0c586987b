"""Learn where a pen was: a network that finds ink on any paper, and the scenes that it is trained on."""
