"""Triton's HTTP server with its Python backend and its batching: `python benchmarks/peers/triton_peer.py PORT`.

NVIDIA's package PyTriton contains the server.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytriton  # type: ignore[import-not-found]

CONFIG = """
backend: "python"
max_batch_size: 128
input { name: "pixels" data_type: TYPE_UINT8 dims: 784 }
output [
  { name: "probabilities" data_type: TYPE_FP32 dims: 10 },
  { name: "digit" data_type: TYPE_INT64 dims: 1 }
]
instance_group { kind: KIND_CPU }
dynamic_batching {}
"""

if __name__ == "__main__":
    server = Path(pytriton.__file__).with_name("tritonserver")
    stub = server / f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
    model = Path(tempfile.mkdtemp(), "digits")
    Path(model, "1").mkdir(parents=True)
    Path(model, "config.pbtxt").write_text(CONFIG)
    Path(model, "1/model.py").symlink_to(Path(__file__).with_name("triton_model.py").resolve())
    shutil.copy(stub, server / "backends/python")
    # The stub looks for packages beside the first `python`.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    libraries = f"{sysconfig.get_path('purelib')}/nvidia_pytriton.libs:{sysconfig.get_config_var('LIBDIR')}"
    os.environ["LD_LIBRARY_PATH"] = libraries
    options = ("--backend-directory", str(server / "backends"), "--allow-grpc", "0", "--allow-metrics", "0")
    command = ("tritonserver", "--model-repository", str(model.parent), "--http-address", "127.0.0.1", *options)
    os.execv(server / "bin/tritonserver", (*command, "--http-port", sys.argv[1]))
