"""Run networks with ONNX Runtime on the processor."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from digits.features import Floats


class UnusableGraph(Exception):
    """ONNX Runtime cannot load the graph."""


class Session:
    """A loaded graph. It is thread-safe."""

    def __init__(self, model: bytes) -> None:
        """Load an ONNX graph, with one thread per forward pass. Raises UnusableGraph."""
        options = onnxruntime.SessionOptions()
        # The service has threads of its own. Thread pools that compete for the same cores are slower.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4  # fatal only: UnusableGraph reports a refused graph
        # Do not load weights from files beside the graph, which have no checksum.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # ONNX Runtime's exception classes are private and have no other base
            raise UnusableGraph("ONNX Runtime cannot load the graph") from exc
        self.run: Callable[[Sequence[str], Mapping[str, NDArray[Any]]], list[Floats]] = session.run
        """Takes the names of outputs, and arrays by the names of inputs. Returns the arrays of these outputs."""
        self.inputs = [_description(node) for node in session.get_inputs()]
        """Each required input as text, such as `features tensor(float) [-1, 784]`. -1 is a size that varies."""
        self.optional_inputs = [_description(node) for node in session.get_overridable_initializers()]
        """Each input that has a default value."""
        self.outputs = [_description(node) for node in session.get_outputs()]


def _description(node: Any) -> str:
    return f"{node.name} {node.type} {[size if isinstance(size, int) else -1 for size in node.shape]}"
