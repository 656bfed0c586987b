"""What runs the network: two protocols that a backend implements. `digits.model.onnx_runtime` is the only backend."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from digits.features import Floats


class UnusableGraph(Exception):
    """The backend cannot load or run the graph. The message has the backend's own reason."""


class Session(Protocol):
    """A loaded graph. It must be thread-safe."""

    inputs: list[str]
    """A description of each required input, such as `features tensor(float) [-1, 784]`. -1 is the batch size."""
    optional_inputs: list[str]
    """A description of each input that has a default value."""
    outputs: list[str]
    """A description of each output."""

    def run(self, features: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[Floats]:
        """Compute outputs.

        Args:
            features: arrays by the names of the inputs.
            outputs: names of outputs.

        Returns:
            The arrays of these outputs, in their order.

        Raises:
            UnusableGraph: the graph cannot be run.
        """


class Backend(Protocol):
    """A library that runs networks."""

    def load(self, model: bytes) -> Session:
        """Load an ONNX graph. Raises UnusableGraph."""
