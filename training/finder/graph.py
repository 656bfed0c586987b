"""Write the finder's serving graph, whose outputs are probabilities and have their channels first."""

from typing import Any

import numpy as np

from digits.finder.network import CLASSES, NAME, OUTPUTS
from training.finder.network import DILATIONS, WIDTHS, in_serving_order
from training.ink.graph import Convolution, GraphWriter, folded


def convolutions(network: Any) -> list[Convolution]:
    """Return the convolutions of a network of `training.finder.network.build`, in the order of the serving graph."""
    return [
        folded(conv, norm) if norm is not None else Convolution(*map(np.asarray, conv.get_weights()))
        for conv, norm in in_serving_order(network)
    ]


def serving_graph(layers: list[Convolution]) -> bytes:
    """Return an ONNX graph from CONTRASTS_INPUT to OUTPUTS."""
    writer = GraphWriter(layers)
    *_, before_last, largest = writer.trunk(len(WIDTHS) - 2, DILATIONS)
    heat, votes, sizes, classes, ink = (each.name for each in OUTPUTS)

    quarter = writer.convolved(writer.activated(before_last))
    size, label = writer.split(quarter, (2, len(CLASSES)), ("size", "label"))
    writer.add("Identity", size, output=sizes)
    writer.add("Softmax", label, output=classes, axis=1)
    half = writer.convolved(writer.activated(largest))
    centre, vote = writer.split(half, (2, 2), ("centre", "vote"))
    writer.add("Sigmoid", centre, output=heat)
    writer.add("Identity", vote, output=votes)
    writer.add("Sigmoid", writer.add("DepthToSpace", writer.convolved(largest), blocksize=2), output=ink)
    return writer.graph(NAME, OUTPUTS)
