"""The domain of digit recognition: pictures, model artifacts and the classifier."""

import os

# ONNX Runtime sends usage events to Microsoft and stores a device id on disk, unless this variable is set before the
# library is loaded (see its Privacy.md). Every other package imports this one first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
