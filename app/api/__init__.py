"""Answer API requests, with one dialect per file or folder.

A dialect is the form of requests and replies that one group of clients expects: our own `POST /predict`, TensorFlow
Serving's REST API, or the Open Inference Protocol.
"""
