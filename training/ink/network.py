"""The ink network: a small U-Net (Ronneberger, Fischer and Brox 2015) from two contrasts to the share of ink."""

from typing import Any

from training.backend import keras

WIDTHS = (16, 24, 32, 40)
"""Channels at a half, a quarter, an eighth and a sixteenth of the picture's size."""

DILATIONS = (1, 2, 4)
"""Of the convolutions at a sixteenth of the picture's size, so that each sees a large part of the picture."""


def build() -> Any:
    """Return a network from float32 (N, height, width, 2) to the logits of ink, (N, height, width, 1).

    Height and width are multiples of 16. Most work is done at half the picture's size and below: the first layer turns
    squares of 2x2 pixels into channels, and the last one turns channels into such squares.
    """
    layers, ops = keras().layers, keras().ops

    def convolved(x: Any, channels: int, size: int = 3, *, strides: int = 1, dilation: int = 1) -> Any:
        x = layers.Conv2D(channels, size, strides=strides, dilation_rate=dilation, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.98)(x)
        return layers.ReLU()(x)

    inputs = layers.Input((None, None, 2))
    x = convolved(ops.space_to_depth(inputs, 2), WIDTHS[0])
    passed = [x]
    for width in WIDTHS[1:-1]:
        x = convolved(convolved(x, width, strides=2), width)
        passed.append(x)
    x = convolved(x, WIDTHS[-1], strides=2)
    for dilation in DILATIONS:
        x = layers.Add()([x, convolved(x, WIDTHS[-1], dilation=dilation)])
    for width, skipped in zip(WIDTHS[-2::-1], passed[::-1], strict=True):
        x = layers.UpSampling2D(2)(convolved(x, width, 1))
        x = convolved(layers.Add()([x, skipped]), width)
    x = layers.Conv2D(4, 3, padding="same", bias_initializer=keras().initializers.Constant(-2.5))(x)
    return keras().Model(inputs, ops.depth_to_space(x, 2))


def build_for_training(steps: int, learning_rate: float) -> Any:
    """Return a compiled network whose learning rate rises for a few steps and falls to 0 along half a cosine."""
    optimizers = keras().optimizers
    rising = min(200, steps // 2)
    rate = optimizers.schedules.CosineDecay(0.0, steps - rising, warmup_target=learning_rate, warmup_steps=rising)
    network = build()
    network.compile(optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0), loss=_loss, metrics=[overlap])
    network.optimizer.build(network.trainable_variables)  # a resumed run assigns them
    return network


def _loss(ink: Any, logits: Any) -> Any:
    """Return the cross-entropy of the pixels, and a fifth of the share of ink that does not overlap."""
    ops = keras().ops
    entropy = ops.mean(ops.binary_crossentropy(ink, logits, from_logits=True))
    return entropy + 0.2 * (1 - overlap(ink, logits))


def overlap(ink: Any, logits: Any) -> Any:
    """Return the mean overlap of the scenes' ink with the ink that was found (Dice), 1 at best."""
    ops = keras().ops
    found = ops.sigmoid(logits)
    common = ops.sum(found * ink, axis=(1, 2, 3))
    size = ops.sum(found * found + ink * ink, axis=(1, 2, 3))
    return ops.mean((2 * common + 20) / (size + 20))
