"""The domain: what a digit image is, what a model artifact is, how one is classified."""

import os

# ONNX Runtime's wheels send usage events to their maker, and keep a device id on disk, unless this is set before the
# library is loaded (its Privacy.md). Nobody who runs this asked for that; every room imports this package first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
