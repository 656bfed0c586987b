"""What runs the network: two protocols that a backend implements. `digits.model.onnx_runtime` is the only backend."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from digits.features import Floats


class UnusableGraph(Exception):
    """The backend cannot load the graph."""


class Session(Protocol):
    """A loaded graph. It must be thread-safe."""

    inputs: list[str]
    """Each required input in exactly this form: `features tensor(float) [-1, 784]`. -1 is a size that varies."""
    optional_inputs: list[str]
    """A description of each input that has a default value."""
    outputs: list[str]
    """A description of each output."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]], /) -> list[Floats]:
        """Compute outputs.

        Args:
            outputs: names of outputs.
            inputs: arrays by the names of the inputs.

        Returns:
            The arrays of these outputs, in their order.

        Raises:
            Exception: the graph cannot be run. Backends have no common exceptions.
        """


class Backend(Protocol):
    """A library that runs networks."""

    def load(self, model: bytes) -> Session:
        """Load an ONNX graph. Raises UnusableGraph."""
