"""The layers of the application that every request passes."""
