"""How long an oracle of a classifier takes the usual way: write a flipped weight into QKeras and predict.

    qkeras_classifier.py MODEL.h5 IMAGES.npy SCALE LABELS.npy FLIPS

MODEL.h5 is a QKeras classifier; batch normalization that it folds is folded once, before the flips. FLIPS random kernel bits are
flipped, one at a time, in the images classified correctly without a flip; for each bit the images that become wrong are counted.
Prints seconds per flip and the time of all kernel bits, and writes the flips to standard output as CSV. Needs tensorflow-cpu 2.15,
qkeras 0.9 and numpy.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from qkeras import QConv2D, QDense
from qkeras.utils import _add_supported_quantized_objects

# What a folded layer has beyond a plain one.
FOLDING = (
    "axis momentum epsilon center scale beta_initializer gamma_initializer moving_mean_initializer "
    "moving_variance_initializer beta_regularizer gamma_regularizer beta_constraint gamma_constraint ema_freeze_delay "
    "folding_mode kernel_range bias_range"
).split()


def unfolded(model):
    """The same model with plain quantized layers that hold the folded, quantized weights."""
    plain = {"QConv2DBatchnorm": QConv2D, "QDenseBatchnorm": QDense}

    def clone(layer):
        if type(layer).__name__ not in plain:
            return layer.__class__.from_config(layer.get_config())
        config = {key: value for key, value in layer.get_config().items() if key not in FOLDING}
        return plain[type(layer).__name__].from_config({**config, "use_bias": True})

    copy = tf.keras.models.clone_model(model, clone_function=clone)
    for old, new in zip(model.layers, copy.layers):
        if type(old).__name__ in plain:
            new.set_weights([np.array(weights) for weights in old.get_folded_weights()])
        else:
            new.set_weights(old.get_weights())
    return copy


def main():
    model_file, image_file, scale, label_file, flips = sys.argv[1:6]
    objects = {}
    _add_supported_quantized_objects(objects)
    model = tf.keras.models.load_model(model_file, custom_objects=objects, compile=False)
    labels = np.load(label_file).ravel()
    images = np.load(image_file).astype("float32") * np.float32(scale)
    plain = unfolded(model)
    predict = lambda inputs: plain.predict(inputs, batch_size=4096, verbose=0).argmax(1)
    golden = model.predict(images, batch_size=4096, verbose=0).argmax(1)
    assert (predict(images) == golden).all(), "folding changed the model"
    images, labels = images[golden == labels], labels[golden == labels]

    layers = [layer for layer in plain.layers if hasattr(layer, "kernel_quantizer_internal")]
    sizes = np.array([layer.kernel.numpy().size * layer.kernel_quantizer_internal.bits for layer in layers])
    rng, spent = np.random.default_rng(1), 0.0
    print("layer,index,bit,mispredictions")
    for _ in range(int(flips)):
        layer = layers[rng.choice(len(layers), p=sizes / sizes.sum())]
        quantizer, kernel = layer.kernel_quantizer_internal, layer.kernel.numpy()
        index, bit = int(rng.integers(kernel.size)), int(rng.integers(quantizer.bits))
        frac = quantizer.bits - quantizer.integer - 1
        word = int(round(float(quantizer(layer.kernel).numpy().ravel()[index]) * 2**frac)) & ((1 << quantizer.bits) - 1)
        word ^= 1 << (quantizer.bits - 1 - bit)
        changed = kernel.ravel().copy()
        changed[index] = (word - (1 << quantizer.bits) if word >> (quantizer.bits - 1) else word) / 2**frac
        start = time.time()
        layer.kernel.assign(changed.reshape(kernel.shape))
        wrong = int((predict(images) != labels).sum())
        spent += time.time() - start
        layer.kernel.assign(kernel)
        print(f"{layer.name},{index},{bit},{wrong}", flush=True)
    per_flip = spent / int(flips)
    print(
        f"{len(images)} images classified correctly; {per_flip:.4f} s per flip; "
        f"all {sizes.sum():,} kernel bits would take {per_flip * sizes.sum() / 3600:.2f} h",
        file=sys.stderr,
    )


main()
