"""The backend that runs networks with ONNX Runtime on the processor."""

import os
from typing import Any

import onnxruntime

from digits.model.backend import Session, UnusableGraph


class OnnxRuntime:
    """Loads ONNX graphs."""

    def load(self, model: bytes) -> Session:
        """Load an ONNX graph, with one thread per forward pass. Raises UnusableGraph."""
        options = onnxruntime.SessionOptions()
        # One thread per forward pass, because the service scales over cores with workers. Thread pools that compete
        # for the same cores are slower.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4  # fatal only: UnusableGraph reports a refused graph
        # Do not load weights from files beside the graph, which have no checksum.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        try:
            return _OnnxSession(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
        except Exception as exc:  # ONNX Runtime's exception classes are private and have no other base
            raise UnusableGraph("ONNX Runtime cannot load the graph") from exc


class _OnnxSession:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.run = session.run
        self.inputs = [_description(node) for node in session.get_inputs()]
        self.optional_inputs = [_description(node) for node in session.get_overridable_initializers()]
        self.outputs = [_description(node) for node in session.get_outputs()]


def _description(node: Any) -> str:
    return f"{node.name} {node.type} {[size if isinstance(size, int) else -1 for size in node.shape]}"
