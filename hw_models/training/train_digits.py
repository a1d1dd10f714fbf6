"""Trains the shipped classifier of handwritten digits and writes model, held-out images and labels.

A small convolutional network, quantized with QKeras and trained with straight-through gradients on the 8x8 digits that
scikit-learn carries: 1,797 images with 17 shades, from the test set of the Optical Recognition of Handwritten Digits data
(UCI Machine Learning Repository). Batch normalizations are folded into the convolutions before their weights are quantized.

It does not export hardware (`trivote import` does). The same network without quantizers is trained beside it, to tell what
quantization costs.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from qkeras import QActivation, QConv2DBatchnorm, QDense, quantized_bits, quantized_relu
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tensorflow.keras import Input, Model, layers

HELD_OUT = 500


def quantized():
    """Two folded convolutions, the second with a way past it, two pools, a dense layer: 968 weights of 6 bits."""
    weights = {"kernel_quantizer": quantized_bits(6, 1, alpha=1), "bias_quantizer": quantized_bits(6, 2, alpha=1)}
    image = Input((8, 8, 1), name="image")
    x = QConv2DBatchnorm(8, 3, padding="same", name="conv_1", ema_freeze_delay=FREEZE, **weights)(image)
    x = QActivation(quantized_relu(6, 2), name="relu_1")(x)
    x = short = layers.MaxPooling2D(2, name="pool_1")(x)
    x = QConv2DBatchnorm(8, 3, padding="same", name="conv_2", ema_freeze_delay=FREEZE, **weights)(x)
    x = layers.Add(name="sum")([short, x])
    x = QActivation(quantized_relu(6, 3), name="relu_2")(x)
    x = layers.AveragePooling2D(2, name="pool_2")(x)
    x = layers.Flatten(name="flatten")(x)
    dense = {"kernel_quantizer": quantized_bits(6, 1, alpha=1), "bias_quantizer": quantized_bits(6, 2, alpha=1)}
    x = QDense(10, name="logits", **dense)(x)
    return Model(image, layers.Activation("softmax", name="softmax")(x), name="digits_cnn")


def float_network():
    """The same layers without quantizers."""
    image = Input((8, 8, 1))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(image)))
    x = short = layers.MaxPooling2D(2)(x)
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
    x = layers.ReLU()(layers.Add()([short, x]))
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return Model(image, layers.Dense(10, activation="softmax")(x))


# Step from which the folded statistics stand still.
FREEZE = 2000


def fit(model, data, arguments):
    images, labels, held, held_labels = data
    steps = arguments.epochs * (len(images) // arguments.batch)
    rate = tf.keras.optimizers.schedules.CosineDecay(arguments.rate, steps, alpha=1e-3)
    model.compile(tf.keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    start = time.time()
    for epoch in range(0, arguments.epochs, arguments.report):
        history = model.fit(
            images, labels, batch_size=arguments.batch, epochs=epoch + arguments.report, initial_epoch=epoch, verbose=0
        ).history
        correct = int((model.predict(held, verbose=0).argmax(1) == held_labels).sum())
        print(
            f"epoch {epoch + arguments.report} loss {history['loss'][-1]:.4f} training accuracy {history['accuracy'][-1]:.4f}"
            f" held-out correct {correct} of {len(held)} seconds {time.time() - start:.0f}",
            flush=True,
        )
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where model.h5, images.npy and labels.npy are written")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--report", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tf.config.experimental.enable_op_determinism()

    digits = load_digits()
    images, held, labels, held_labels = train_test_split(
        digits.images.astype(np.uint8), digits.target.astype(np.uint8), test_size=HELD_OUT, random_state=arguments.seed,
        stratify=digits.target,
    )
    scaled = [(part[..., None] / 16).astype(np.float32) for part in (images, held)]
    data = (scaled[0], labels, scaled[1], held_labels)
    for name, build in [("float", float_network), ("quantized", quantized)]:
        tf.keras.utils.set_random_seed(arguments.seed)
        print(f"{name}: {len(images)} images, {arguments.epochs} epochs, seed {arguments.seed}", flush=True)
        model = fit(build(), data, arguments)
    model.save(arguments.folder / "model.h5", include_optimizer=False)
    np.save(arguments.folder / "images.npy", held[..., None])
    np.save(arguments.folder / "labels.npy", held_labels)


if __name__ == "__main__":
    main()
