"""How far a prediction can be trusted: temperature, prediction sets and novelty, and how well they hold."""
