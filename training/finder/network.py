"""The finder: a U-Net (Ronneberger, Fischer and Brox 2015) from two contrasts to centres, sizes, classes and ink.

Centres are local maxima of a heat, as in CenterNet (Zhou, Wang and Krähenbühl 2019). Each inked pixel votes for the
centre of its digit, as in Panoptic-DeepLab (Cheng et al. 2020).
"""

from itertools import count
from typing import Any

from digits.finder.network import CLASSES
from training.backend import keras

WIDTHS = (20, 32, 56, 80)
"""Channels at a half, a quarter, an eighth and a sixteenth of the picture's size."""

DILATIONS = (1, 2, 4)
"""Of the convolutions at a sixteenth of the picture's size, so that each sees a large part of the picture."""

HALF_HEAD, QUARTER_HEAD = 28, 48
"""Channels before the outputs at a half and at a quarter of the picture's size."""

_PRECISION = "mixed_bfloat16"
"""Weights are float32. With products in bfloat16, a step takes four fifths of the time on processors that have them."""


def build(precision: str = "float32") -> Any:
    """Return a network from float32 (N, height, width, 2) to three outputs. Height and width are multiples of 16.

    The outputs are:

    - (N, height / 2, width / 2, 4): logits of the heat of digits and of marks, and votes in x and y, in half pixels.
    - (N, height / 4, width / 4, 2 + CLASSES): logarithms of width and height in pixels, and logits of the classes.
    - (N, height, width, 2): logits of the ink of digits and of all ink of the pen.
    """
    layers, ops = keras().layers, keras().ops
    constant, numbers = keras().initializers.Constant, count()

    def convolved(x: Any, channels: int, size: int = 3, *, strides: int = 1, dilation: int = 1) -> Any:
        options = {"strides": strides, "dilation_rate": dilation, "padding": "same", "use_bias": False}
        number = next(numbers)
        x = layers.Conv2D(channels, size, dtype=precision, name=f"conv_{number}", **options)(x)
        x = layers.BatchNormalization(momentum=0.98, dtype=precision, name=f"norm_{number}")(x)
        return layers.ReLU(dtype=precision)(x)

    def outputs(x: Any, name: str, channels: int, size: int, bias: Any) -> Any:
        options = {"padding": "same", "bias_initializer": bias, "dtype": "float32"}
        return layers.Conv2D(channels, size, name=name, **options)(x)

    inputs = layers.Input((None, None, 2))
    x = convolved(ops.space_to_depth(inputs, 2), WIDTHS[0])
    passed = [x]
    for width in WIDTHS[1:-1]:
        x = convolved(convolved(x, width, strides=2), width)
        passed.append(x)
    x = convolved(x, WIDTHS[-1], strides=2)
    for dilation in DILATIONS:
        x = layers.Add(dtype=precision)([x, convolved(x, WIDTHS[-1], dilation=dilation)])
    found = []
    for width, skipped in zip(WIDTHS[-2::-1], passed[::-1], strict=True):
        x = layers.UpSampling2D(2, dtype=precision)(convolved(x, width, 1))
        x = convolved(layers.Add(dtype=precision)([x, skipped]), width)
        found.append(x)
    quarter = outputs(
        convolved(found[-2], QUARTER_HEAD), "quarter_logits", 2 + len(CLASSES), 1, _biases([3.2, 3.2], len(CLASSES))
    )
    half = outputs(convolved(found[-1], HALF_HEAD), "half_logits", 4, 1, _biases([-4.0, -4.0], 2))
    ink = ops.depth_to_space(outputs(found[-1], "ink_logits", 8, 3, constant(-2.5)), 2)
    named = [layers.Identity(name=name)(x) for name, x in (("half", half), ("quarter", quarter), ("ink", ink))]
    return keras().Model(inputs, named)


def in_serving_order(network: Any) -> list[tuple[Any, Any | None]]:
    """Return each convolution with its batch normalization, in the order of the serving graph. Outputs have none."""
    count = sum(layer.name.startswith("norm_") for layer in network.layers)
    pairs = [(network.get_layer(f"conv_{number}"), network.get_layer(f"norm_{number}")) for number in range(count)]
    quarter, half, ink = (network.get_layer(name) for name in ("quarter_logits", "half_logits", "ink_logits"))
    return [*pairs[:-2], pairs[-2], (quarter, None), pairs[-1], (half, None), (ink, None)]


def _biases(first: list[float], zeros: int) -> Any:
    """Return an initializer: these biases, and so many zeros behind them."""

    def initialize(shape: Any, dtype: Any = None) -> Any:
        return keras().ops.reshape(keras().ops.convert_to_tensor([*first, *[0.0] * zeros], dtype), shape)

    return initialize


def build_for_training(steps: int, learning_rate: float) -> Any:
    """Return a compiled network whose learning rate rises, stays, and falls to 0 along half a cosine at the end."""
    rate = _rate(steps, learning_rate)
    optimizer = keras().optimizers.AdamW(rate, weight_decay=1e-4, global_clipnorm=2.0)
    network = build(_PRECISION)
    network.compile(optimizer, loss=[_half_loss, _quarter_loss, _ink_loss])
    optimizer.build(network.trainable_variables)  # a resumed run assigns them
    return network


def _rate(steps: int, highest: float) -> Any:
    """Return a schedule: it rises for up to 200 steps, and falls in the second half."""
    ops = keras().ops

    class Rate(keras().optimizers.schedules.LearningRateSchedule):  # type: ignore[misc] # Keras has no types
        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float32")
            rising = ops.minimum(1.0, (step + 1) / min(200, max(1, steps // 4)))
            share = ops.clip(2 * step / steps - 1, 0.0, 1.0)
            return highest * rising * (0.5 + 0.5 * ops.cos(3.14159265 * share))

        def get_config(self) -> dict[str, Any]:
            return {}

    return Rate()


_STRANGE = 2.0
"""Additional weight of pixels with ink that is no digit's. Without it, both kinds of ink stay alike."""


def _half_loss(said: Any, outputs: Any) -> Any:
    """Return CenterNet's loss of both heats, and the mean distance of the votes from their centres.

    `said` is (N, height / 2, width / 2, 6): both heats, whether they count, the votes, and their weight.
    """
    ops = keras().ops
    heat, counts, votes, weight = said[..., :2], said[..., 2:3], said[..., 3:5], said[..., 5]
    probability = ops.clip(ops.sigmoid(outputs[..., :2]), 1e-5, 1 - 1e-5)
    top = ops.cast(heat > 0.999, "float32") * counts
    number = ops.maximum(ops.sum(top), 1.0)
    peaks = -ops.sum(top * (1 - probability) ** 2 * ops.log(probability))
    rest = -ops.sum((counts - top) * (1 - heat) ** 4 * probability**2 * ops.log(1 - probability))
    distance = ops.sum(ops.abs(outputs[..., 2:] - votes), axis=-1) * weight
    return (peaks + rest) / number + ops.sum(distance) / ops.maximum(ops.sum(ops.cast(weight > 0, "float32")), 1.0)


def _quarter_loss(said: Any, outputs: Any) -> Any:
    """Return the error of the logarithms of sizes, and the cross-entropy of the classes, near centres.

    `said` is (N, height / 4, width / 4, 4): the logarithms of width and height, whether they count, and the class or
    -1.
    """
    ops = keras().ops
    counts, label = said[..., 2], said[..., 3]
    sizes = ops.sum(ops.abs(outputs[..., :2] - said[..., :2]), axis=-1) * counts
    is_known = ops.cast(label >= 0, "float32")
    chosen = ops.one_hot(ops.cast(ops.maximum(label, 0), "int32"), len(CLASSES))
    entropy = ops.categorical_crossentropy(chosen, outputs[..., 2:], from_logits=True) * is_known
    return 0.5 * ops.sum(sizes) / ops.maximum(ops.sum(counts), 1.0) + 0.4 * ops.sum(entropy) / ops.maximum(
        ops.sum(is_known), 1.0
    )


def _ink_loss(said: Any, outputs: Any) -> Any:
    """Return the cross-entropy of both inks, and the share that does not overlap (Dice). `said` is in [0, 255]."""
    ops = keras().ops
    ink = said / 255
    found = ops.sigmoid(outputs)
    strange = ops.relu(ink[..., 1:] - ink[..., :1])
    weight = ops.concatenate([1 + _STRANGE * strange, ops.ones_like(strange)], axis=-1)
    entropy = ops.mean(weight * ops.binary_crossentropy(ink, outputs, from_logits=True))
    common = ops.sum(found * ink, axis=(1, 2))
    overlap = ops.mean((2 * common + 20) / (ops.sum(found * found + ink * ink, axis=(1, 2)) + 20), axis=0)
    return 2 * (entropy + 0.25 * (1 - overlap[0]) + 0.1 * (1 - overlap[1]))
