"""Makes the Keras fixtures of the import tests: four small models with random weights, and what QKeras computes with them.

    python3 tests/data/make_keras_fixtures.py

Needs tensorflow 2.15 and qkeras 0.9.0. Writes next to itself; the same versions write the same values.

- keras_nested.h5: a whole model of two sub-models, `encoder` and `decoder`.
- keras_flat.h5: a whole sequential model; keras_flat.json and keras_flat_weights.h5: the same in two files.
- keras_blocks.h5: a model with a sequential block inside and no quantizer at its input.
- keras_cnn.keras: a convolutional network with residual branch, pools and batch normalizations, as an archive (packed
  anew with compression).
- keras_golden.json: quantized weights, inputs and outputs of the models above; `quantizers`: single tensors through
  `quantized_bits` with scales found from the weights (`auto_po2`); `activations`: values through `quantized_relu` with slopes
  and bounds, and through `quantized_bits` without sign.
"""

import json
import os
import pathlib
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from qkeras import (
    QActivation, QConv2D, QConv2DBatchnorm, QDense, QDepthwiseConv2D, QDepthwiseConv2DBatchnorm, quantized_bits,
    quantized_relu,
)
from qkeras.safe_eval import safe_eval
from tensorflow.keras import Input, Model, Sequential, layers

HERE = pathlib.Path(__file__).parent
EVENTS = 6
SEED = 20240611


def nested():
    """Convolution with a fixed scale, dense layer with found scales; a decoder with every kind of float layer."""
    image = Input((8, 8, 1), name="image")
    x = QActivation(quantized_bits(9, 2, alpha=1), name="input_qa")(image)
    x = QConv2D(
        4, 3, strides=2, padding="same", name="conv",
        kernel_quantizer=quantized_bits(5, 1, alpha=1), bias_quantizer=quantized_bits(6, 1, alpha=1),
    )(x)
    x = QActivation("quantized_relu(7,3)", name="conv_qa")(x)
    x = layers.Flatten(name="flatten")(x)
    x = QDense(
        6, name="latent",
        kernel_quantizer=quantized_bits(4, 0), bias_quantizer=quantized_bits(5, 1, alpha="auto_po2"),
    )(x)
    x = QActivation(quantized_relu(8, 3), name="latent_qa")(x)
    encoder = Model(image, x, name="encoder")

    code = Input((6,), name="code")
    x = layers.Dense(18, activation="relu", name="de_dense")(code)
    x = layers.Reshape((-1, 3, 2), name="de_reshape")(x)
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu", name="de_same")(x)
    x = layers.Conv2DTranspose(2, (2, 3), strides=(1, 2), padding="valid", name="de_valid")(x)
    x = layers.ZeroPadding2D(((1, 0), (0, 2)), name="de_pad")(x)
    x = layers.Conv2D(2, (3, 2), strides=(1, 2), padding="same", activation="sigmoid", name="de_conv")(x)
    x = layers.Flatten(name="de_flatten")(x)
    x = QActivation(quantized_bits(8, 1, alpha=1), name="de_qa")(x)
    x = QDense(
        5, name="de_qdense",
        kernel_quantizer=quantized_bits(6, 0), bias_quantizer=quantized_bits(6, 0, alpha=1), activation="softmax",
    )(x)
    decoder = Model(code, x, name="decoder")
    outer = Input((8, 8, 1), name="image")
    return Model(outer, decoder(encoder(outer)), name="autoencoder")


def flat():
    """Unequal padding and strides, one scale per channel, quantizers as activations, no bias."""
    return Sequential(
        [
            QActivation(quantized_relu(6, 2), name="input_qa", input_shape=(6, 5, 2)),
            layers.ZeroPadding2D(((1, 0), (2, 1)), name="pad"),
            QConv2D(
                3, (2, 3), strides=(2, 1), name="conv", activation="quantized_relu(7,3)",
                kernel_quantizer=quantized_bits(4, 0, symmetric=1, alpha=np.array([1.0, 2.0, 0.25])),
                bias_quantizer=quantized_bits(8, 2, alpha=1),
            ),
            layers.Dropout(0.5, name="dropout"),
            layers.Flatten(name="flatten"),
            QDense(4, name="dense", use_bias=False, kernel_quantizer=quantized_bits(5, 1, alpha=0.5)),
            layers.Activation("relu", name="relu"),
            QDense(
                3, name="out",
                kernel_quantizer=quantized_bits(3, 0, keep_negative=0, alpha=1), bias_quantizer=quantized_bits(4, 1),
            ),
            QActivation("quantized_bits(9,4,1)", name="out_qa"),
        ],
        name="flat",
    )


def blocks():
    """A block of layers inside, found scales in a convolution, no quantizer at the input."""
    image = Input((4, 4, 3), name="image")
    x = Sequential(
        [
            QConv2D(
                4, 2, padding="same", name="conv", activation="relu",
                kernel_quantizer=quantized_bits(6, 2), bias_quantizer=quantized_bits(6, 0, alpha=1), input_shape=(4, 4, 3),
            ),
            QActivation(quantized_relu(6, 3), name="qa"),
        ],
        name="block",
    )(image)
    x = layers.Reshape((64,), name="reshape")(x)
    x = QDense(2, name="dense", kernel_quantizer=quantized_bits(8, 0, alpha=1), bias_quantizer=quantized_bits(8, 0))(x)
    return Model(image, x, name="blocks")


class QDenseBatchnorm(QDense):
    """What later versions of QKeras have under this name, at inference."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.batchnorm = layers.BatchNormalization()

    def folded(self):
        norm = self.batchnorm
        inverse = tf.math.rsqrt(norm.moving_variance + norm.epsilon) * norm.gamma
        return inverse * self.kernel, inverse * (self.bias - norm.moving_mean) + norm.beta

    def call(self, inputs):
        self.batchnorm(tf.matmul(inputs, self.kernel), training=False)
        kernel, bias = self.folded()
        return tf.matmul(inputs, self.kernel_quantizer_internal(kernel)) + self.bias_quantizer_internal(bias)

    def get_config(self):
        own = super().get_config()
        return {**self.batchnorm.get_config(), **own, "folding_mode": "ema_stats_folding"}


def cnn():
    """A residual branch with a batch normalization of its own, pools, rectifiers, folded layers of every kind."""
    fixed = {"kernel_quantizer": quantized_bits(6, 1, alpha=1), "bias_quantizer": quantized_bits(6, 2, alpha=1)}
    depthwise = {"depthwise_quantizer": quantized_bits(5, 1), "bias_quantizer": quantized_bits(6, 2, alpha=1)}
    image = Input((8, 8, 2), name="image")
    x = QActivation(quantized_bits(6, 2, alpha=1), name="input_qa")(image)
    x = QConv2DBatchnorm(4, 3, padding="same", use_bias=False, name="first", **fixed)(x)
    short = QActivation(quantized_relu(6, 2, negative_slope=0.25), name="first_qa")(x)
    x = QConv2D(4, 3, padding="same", name="second", **fixed)(short)
    x = layers.BatchNormalization(epsilon=2**-10, name="norm")(x)
    x = layers.Add(name="sum")([short, x])
    x = QActivation(quantized_relu(6, 3), name="sum_qa")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="largest")(x)
    x = QDepthwiseConv2DBatchnorm(3, depth_multiplier=2, padding="same", name="depthwise", scale=False, **depthwise)(x)
    x = QActivation("quantized_bits(6,2,keep_negative=0,alpha=1)", name="depthwise_qa")(x)
    x = Sequential(
        [
            QDepthwiseConv2D((1, 2), padding="same", name="inner", input_shape=(4, 4, 8), **depthwise),
            layers.LeakyReLU(0.5, name="leaky"),
            QConv2DBatchnorm(3, 1, name="pointwise", folding_mode="batch_stats_folding", **fixed),
        ],
        name="block",
    )(x)
    x = layers.ReLU(6.0, name="bounded")(x)
    x = layers.AveragePooling2D(2, name="mean")(x)
    x = layers.GlobalAveragePooling2D(name="global_mean")(x)
    x = QDenseBatchnorm(5, name="dense", **fixed)(x)
    x = layers.BatchNormalization(epsilon=2**-10, name="flat_norm")(x)
    return Model(image, layers.Softmax(name="softmax")(x), name="cnn")


def randomize_cnn(model, random):
    """Scales that 16 bits hold exactly for the normalizations that are not folded."""
    for layer in leaves(model):
        plain = isinstance(layer, layers.BatchNormalization)
        values = []
        for variable, held in zip(layer.weights, layer.get_weights()):
            new = random.normal(0, 0.7, held.shape)
            if "variance" in variable.name:
                new = 4.0 ** random.integers(-2, 2, held.shape) - 2**-10 if plain else random.uniform(0.05, 4, held.shape)
            elif plain:
                new = np.round(new * 8) / 8
            values.append(held if "iteration" in variable.name else new.astype(np.float32))
        layer.set_weights(values)


def cnn_entry(random):
    """The network, its archive, and what it computes up to the softmax."""
    tf.keras.utils.set_random_seed(SEED)
    model = cnn()
    randomize_cnn(model, random)
    path = HERE / "keras_cnn.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)
    events = np.round(random.normal(0.3, 1.5, (EVENTS, 8, 8, 2)) * 8) / 8
    logits = Model(model.input, model.get_layer("flat_norm").output)
    entry = {"events": [flat_list(event) for event in events]}
    entry["accelerator"] = run(logits, events.astype(np.float32))
    return entry


def activations():
    """Inputs in steps of 2^-5 from -5 to 5 through activations."""
    values = np.arange(-160, 161, dtype=np.float32) / 32
    for text in [
        "quantized_relu(4,1,negative_slope=0.25)", "quantized_relu(4,1,negative_slope=1.0)",
        "quantized_relu(6,2,0,0.125)", "quantized_relu(3,2,negative_slope=0.5)", "quantized_relu(1,0,negative_slope=1)",
        "quantized_relu(6,2,relu_upper_bound=1.5)",
        "quantized_relu(6,2,relu_upper_bound=1.5,is_quantized_clip=False)",
        "quantized_relu(6,2,relu_upper_bound=100.0,is_quantized_clip=False)",
        "quantized_relu(6,2,relu_upper_bound=0.0,is_quantized_clip=False)",
        "quantized_relu(5,1,negative_slope=0.5,relu_upper_bound=0.25,is_quantized_clip=False)",
        "quantized_relu(5,1,is_quantized_clip=False)", "quantized_bits(5,2,keep_negative=0,alpha=1)",
        "quantized_bits(4,1,1,0,alpha=1)",
    ]:
        result = safe_eval(text, globals())(tf.constant(values)).numpy()
        yield {"activation": text, "result": flat_list(result)}


def leaves(model):
    for layer in model.layers:
        yield from leaves(layer) if isinstance(layer, Model) else [layer]


def randomize(model, random):
    """Weights of a spread that saturates some of them; one output channel without weights."""
    for layer in leaves(model):
        tensors = layer.get_weights()
        if tensors:
            scale = 0.7 if hasattr(layer, "kernel_quantizer") else 0.4
            tensors = [random.normal(0, scale, tensor.shape).astype(np.float32) for tensor in tensors]
            if layer.name == "latent":
                tensors[0] *= 2.0 ** random.integers(-3, 2, tensors[0].shape[-1])
                tensors[0][:, 3] = 0
                tensors[1][2] = 0
            layer.set_weights(tensors)


def quantized(layer, tensor):
    quantizer = getattr(layer, f"{tensor}_quantizer_internal", None)
    value = getattr(layer, tensor)
    return (quantizer(value) if quantizer else value).numpy()


def weights(model):
    found = {}
    for layer in leaves(model):
        if layer.get_weights():
            found[layer.name] = {"kernel": flat_list(quantized(layer, "kernel"))}
            if layer.use_bias:
                found[layer.name]["bias"] = flat_list(quantized(layer, "bias"))
    return found


def flat_list(values):
    return [float(value) for value in np.asarray(values).reshape(-1)]


def run(model, events):
    return [flat_list(model(event[None], training=False)) for event in events]


def single_quantizers(random):
    """Tensors of many spreads through `quantized_bits(bits, integer)` with scales found from the weights."""
    shapes = [(5, 3), (16, 2), (3, 3, 2, 4), (1, 6), (7,), (1, 1, 1, 2)]
    for shape in shapes * 4:
        bits, integer = int(random.integers(2, 12)), int(random.integers(0, 4))
        spread = 2.0 ** random.uniform(-12, 3, shape[-1])
        values = (random.standard_t(3, shape) * spread).astype(np.float32)
        values[random.random(shape) < 0.1] = 0
        result = quantized_bits(bits, integer, alpha="auto_po2")(tf.constant(values)).numpy()
        yield {"shape": shape, "bits": bits, "integer": integer, "values": flat_list(values), "quantized": flat_list(result)}


def main():
    golden = {}
    for name, build, input_step in [("nested", nested, 2**-6), ("flat", flat, 2**-4), ("blocks", blocks, 2**-5)]:
        random = np.random.default_rng([SEED, len(golden)])
        tf.keras.utils.set_random_seed(SEED)
        model = build()
        randomize(model, random)
        model.save(HERE / f"keras_{name}.h5", include_optimizer=False)
        if name == "flat":
            (HERE / "keras_flat.json").write_text(model.to_json() + "\n")
            model.save_weights(HERE / "keras_flat_weights.h5")
        shape = model.input_shape[1:]
        events = np.round(random.normal(0.3, 1.0, (EVENTS, *shape)) / input_step) * input_step
        events = events.astype(np.float32)
        if name == "blocks":
            events = np.clip(events, 0, 1 - 2.0**-5)
        accelerator = model.get_layer("encoder") if name == "nested" else model
        entry = {"weights": weights(model), "events": [flat_list(event) for event in events]}
        entry["accelerator"] = run(accelerator, events)
        if name == "nested":
            latent = np.array(entry["accelerator"], np.float32)
            entry["decoder"] = run(model.get_layer("decoder"), latent)
        golden[name] = entry
    golden["cnn"] = cnn_entry(np.random.default_rng([SEED, 3]))
    golden["activations"] = list(activations())
    golden["quantizers"] = list(single_quantizers(np.random.default_rng([SEED, 99])))
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in golden.items())
    (HERE / "keras_golden.json").write_text("{" + text + "}\n")


if __name__ == "__main__":
    main()
