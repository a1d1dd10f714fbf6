"""Trains one of the three shipped ECON-T autoencoders on generated events and writes it as a Keras HDF5 file.

The encoder is what stands on the chip: quantized with QKeras, trained with straight-through gradients. The decoder runs
off-chip in float32. Layers, names and formats are those of the public ECON-T Small, Medium and Large models, so that
results can be compared; the weights come from this script alone.

Loss: the telescope error of the ECON-T project (4 x cells + 2 x supercells + sectors, of normalized charges) plus
`--transport` times a smoothed earth mover's distance (Sinkhorn divergence, Cuturi 2013 and Feydy et al. 2019), whose
gradient is the difference of the two dual potentials.

It does not generate events (`trivote events` does) and it does not export hardware (`trivote import` does).
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import ot
import tensorflow as tf
from qkeras import QActivation, QConv2D, QDense, quantized_bits, quantized_relu
from qkeras.utils import _add_supported_quantized_objects
from tensorflow.keras.layers import Activation, Conv2DTranspose, Dense, Flatten, Input, Reshape

# Cell shown at each pixel of the 8x8 image; the lower right block repeats cells and is masked.
ARRANGE = np.array([
    28, 29, 30, 31, 0, 4, 8, 12, 24, 25, 26, 27, 1, 5, 9, 13, 20, 21, 22, 23, 2, 6, 10, 14, 16, 17, 18, 19, 3, 7, 11, 15,
    47, 43, 39, 35, 35, 34, 33, 32, 46, 42, 38, 34, 39, 38, 37, 36, 45, 41, 37, 33, 43, 42, 41, 40, 44, 40, 36, 32, 47, 46,
    45, 44,
])
MASKED = np.array([pixel // 8 >= 4 and pixel % 8 >= 4 for pixel in range(64)])
PIXEL = np.array([np.flatnonzero((ARRANGE == cell) & ~MASKED)[0] for cell in range(48)])

# The telescope loss's supercells; a weight is the mean share of the four cells, a share one over the number of
# supercells a cell is in, 7/12 for the three cells in the middle of the module.
SUPERCELLS = np.array([
    [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15], [16, 17, 20, 21], [18, 19, 22, 23], [24, 25, 28, 29],
    [26, 27, 30, 31], [32, 33, 36, 37], [34, 35, 38, 39], [40, 41, 44, 45], [42, 43, 46, 47], [4, 5, 8, 9], [6, 7, 10, 11],
    [20, 21, 24, 25], [22, 23, 26, 27], [36, 37, 40, 41], [38, 39, 42, 43], [1, 2, 5, 6], [9, 10, 13, 14], [17, 18, 21, 22],
    [25, 26, 29, 30], [33, 34, 37, 38], [41, 42, 45, 46], [5, 6, 9, 10], [21, 22, 25, 26], [37, 38, 41, 42], [0, 1, 27, 31],
    [1, 2, 23, 27], [2, 3, 19, 23], [3, 7, 34, 35], [7, 11, 33, 34], [11, 15, 32, 33], [16, 17, 47, 43], [17, 18, 43, 39],
    [18, 19, 39, 35],
])
MEMBERSHIP = np.zeros((48, 36), np.float32)
for _column, _cells in enumerate(SUPERCELLS):
    MEMBERSHIP[_cells, _column] = 1
SHARE = 1 / MEMBERSHIP.sum(1)
SHARE[[3, 19, 35]] = 7 / 12
SUPERCELL_WEIGHT = SHARE[SUPERCELLS].mean(1).astype(np.float32)
SECTOR = np.kron(np.eye(3), np.ones((16, 1))).astype(np.float32)


def distances():
    """Euclidean distances between the 48 cell centers; neighbors in one sector are 2 apart."""
    rhombi = [((0, 0), (4, -4), (0, -8)), ((-16, -34), (0, 8), (4, 4)), ((9, -41), (-4, -4), (-4, 4))]
    whole = [np.add(o, np.multiply(r, v) + np.multiply(c, u)) for o, v, u in rhombi for r in range(4) for c in range(4)]
    places = np.array(whole) * [3**0.5 / 4, 0.25]
    return np.linalg.norm(places[:, None] - places[None], axis=2)


DISTANCE = distances()


def encoder(size):
    bits = {"small": (8, 8), "medium": (6, 6), "large": (5, 7)}[size]
    inputs = Input((8, 8, 1), name="input_1")

    def weights(width):
        return dict(kernel_quantizer=quantized_bits(width, 1, alpha=1), bias_quantizer=quantized_bits(width, 1, alpha=1))

    if size == "small":
        x = QActivation(quantized_bits(10, 3, alpha=1), name="input_qa")(inputs)
        x = Flatten(name="flatten")(x)
        x = QDense(16, name="en_dense_0", **weights(bits[0]))(x)
        x = QActivation(quantized_relu(16, 3), name="en_dense_act0")(x)
        latent = quantized_relu(16, 3)
    else:
        medium = size == "medium"
        x = QActivation(quantized_bits(11 if medium else 10, 3, alpha=1), name="input_qa")(inputs)
        x = QConv2D(8 if medium else 32, 3 if medium else 5, strides=2, padding="same", name="conv2d_0_m",
                    **weights(bits[0]))(x)
        x = QActivation(quantized_relu(12 if medium else 11, 3), name="accum1_qa")(x)
        x = Flatten(name="flatten")(x)
        latent = quantized_relu(9, 1) if medium else quantized_relu(13, 3)
    x = QDense(16, name="encoded_vector", **weights(bits[1]))(x)
    x = QActivation(latent, name="encod_qa")(x)
    return tf.keras.Model(inputs, x, name="encoder")


def decoder(size):
    inputs = Input((16,), name="decoder_input")
    if size == "small":
        x = Dense(16, activation="relu", name="de_dense_0")(inputs)
        x = Dense(64, activation="relu", name="de_dense_final")(x)
        x = Reshape((8, 8, 1), name="de_reshape")(x)
        kernel = 3
    else:
        filters, kernel = (8, 3) if size == "medium" else (32, 5)
        x = Dense(16 * filters, activation="relu", name="de_dense_final")(inputs)
        x = Reshape((4, 4, filters), name="de_reshape")(x)
        x = Conv2DTranspose(filters, kernel, strides=2, padding="same", activation="relu", name="conv2D_t_0")(x)
    x = Conv2DTranspose(1, kernel, strides=1, padding="same", name="conv2d_t_final")(x)
    x = Activation("sigmoid", name="decoder_output")(x)
    return tf.keras.Model(inputs, x, name="decoder")


def autoencoder(size):
    front, back = encoder(size), decoder(size)
    inputs = Input((8, 8, 1), name="input_1")
    return tf.keras.Model(inputs, back(front(inputs)), name="autoencoder")


def load_events(path):
    """Normalized charges [event, 48]: divided by the power of two at or below their sum."""
    charges = np.loadtxt(path, delimiter=",", skiprows=1)
    return (charges / 2.0 ** np.floor(np.log2(charges.sum(1)))[:, None]).astype(np.float32)


def telescope(truth, guess):
    """Telescope loss per event (`sensor-data-compression/telescope.py`): squared differences weighted by the larger value."""

    def term(y, p, weight):
        return tf.reduce_mean((y - p) ** 2 * tf.maximum(y, p) * weight, axis=1)

    total = 4 * term(truth, guess, 1.0)
    total += 2 * term(truth @ MEMBERSHIP, guess @ MEMBERSHIP, SUPERCELL_WEIGHT)
    return total + term(truth @ SECTOR, guess @ SECTOR, 1.0)


def transport(truth, guess, smoothing, rounds):
    """A term whose gradient by `guess` is that of the Sinkhorn divergence of the two normalized distributions.

    Its value is meaningless. All in float32 without logarithms: exp(-19 / smoothing) must stay above 1e-30.
    """
    kernel = tf.constant(np.exp(-DISTANCE / smoothing), tf.float32)
    p = truth / tf.reduce_sum(truth, 1, keepdims=True)
    q = guess / tf.reduce_sum(guess, 1, keepdims=True)
    fixed = tf.stop_gradient(q) + 1e-9
    left = right = own = tf.ones_like(p)
    for _ in range(rounds):
        left = p / (right @ kernel)
        right = fixed / (left @ kernel)
        own = tf.sqrt(own * fixed / (own @ kernel))
    potential = smoothing * (tf.math.log(own @ kernel) - tf.math.log((p / (right @ kernel)) @ kernel))
    return tf.reduce_sum(tf.stop_gradient(potential) * q, 1)


def cells(image):
    return tf.gather(tf.reshape(image, (-1, 64)), PIXEL, axis=1)


def emd(truth, guess):
    """Exact earth mover's distances per event; an all-zero output counts as -0.5, as in the original evaluation."""
    truth, guess = truth.astype(np.float64), guess.astype(np.float64)
    return np.array([
        ot.emd2(x / x.sum(), y / y.sum(), DISTANCE) if y.sum() > 0 else -0.5 for x, y in zip(truth, guess)
    ])


def image_of(charges):
    image = np.zeros((len(charges), 64), np.float32)
    image[:, PIXEL] = charges
    return image.reshape(-1, 8, 8, 1)


def evaluate(model, charges):
    guess = model.predict(image_of(charges), batch_size=2048, verbose=0).reshape(-1, 64)[:, PIXEL]
    loss = float(tf.reduce_mean(telescope(charges, tf.constant(guess))))
    return emd(charges, guess).mean(), loss


def train(arguments):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.keras.utils.set_random_seed(arguments.seed)
    events = load_events(arguments.events)
    held_out = load_events(arguments.validation)[: arguments.validation_events]
    model = autoencoder(arguments.size)
    if arguments.start:
        model.load_weights(arguments.start)
    else:
        # A latent value that starts below zero for every event would never receive a gradient.
        bias = model.get_layer("encoder").get_layer("encoded_vector").bias
        bias.assign(tf.fill(bias.shape, 0.5))
        # Most cells are empty: start near zero instead of at one half.
        model.get_layer("decoder").get_layer("conv2d_t_final").bias.assign([-3.0])
    rate = tf.keras.optimizers.schedules.CosineDecay(arguments.rate, arguments.steps, alpha=0.003)
    optimizer = tf.keras.optimizers.legacy.Adam(rate)
    variables = model.trainable_variables

    @tf.function(jit_compile=arguments.jit)
    def gradients(charges, images):
        with tf.GradientTape() as tape:
            guess = cells(model(images, training=True))
            error = tf.reduce_mean(telescope(charges, guess))
            moved = tf.reduce_mean(transport(charges, guess, arguments.smoothing, arguments.rounds))
            loss = error + arguments.transport * moved
        return error, tape.gradient(loss, variables)

    @tf.function
    def step(charges, images):
        error, changes = gradients(charges, images)
        optimizer.apply_gradients(zip(tf.clip_by_global_norm(changes, 1.0)[0], variables))
        for layer in model.get_layer("encoder").layers:
            for name in ("kernel", "bias"):
                if isinstance(layer, (QDense, QConv2D)):
                    # The registers hold [-2, 2).
                    getattr(layer, name).assign(tf.clip_by_value(getattr(layer, name), -2.0, 2.0))
        return error

    shuffle = np.random.default_rng(arguments.seed)
    order, best, started, total = np.empty(0, int), np.inf, time.time(), 0.0
    options = {key: os.path.basename(value) if isinstance(value, str) else value for key, value in vars(arguments).items()}
    print(options, f"{len(events)} events", flush=True)
    for number in range(1, arguments.steps + 1):
        if len(order) < arguments.batch:
            order = shuffle.permutation(len(events))
        batch, order = events[order[: arguments.batch]], order[arguments.batch:]
        total += step(tf.constant(batch), tf.constant(image_of(batch)))
        if number % arguments.report == 0 or number == arguments.steps:
            mean, loss = evaluate(model, held_out)
            kept = mean < best
            if kept:
                best = mean
                model.save(arguments.out, include_optimizer=False)
            print(f"step {number} training telescope {float(total) / arguments.report:.6f} held-out telescope {loss:.6f} "
                  f"mean EMD {mean:.4f}{' kept' if kept else ''} rate {float(rate(number)):.2e} "
                  f"seconds {time.time() - started:.0f}", flush=True)
            total = 0.0


def report(arguments):
    """Mean EMD of a saved model on each named event file, and how much of it is alive."""
    objects = {}
    _add_supported_quantized_objects(objects)
    model = tf.keras.models.load_model(arguments.out, custom_objects=objects, compile=False)
    for path in arguments.report_on:
        charges = load_events(path)
        mean, loss = evaluate(model, charges)
        latent = model.get_layer("encoder").predict(image_of(charges), batch_size=2048, verbose=0)
        low, high = latent.min(0), latent.max(0)
        name = os.path.basename(os.path.dirname(os.path.abspath(arguments.out)))
        print(f"{name} on {os.path.basename(path)}: {len(charges)} events, mean EMD {mean:.4f}, "
              f"telescope {loss:.6f}, latents in use {(high > low).sum()} of 16, "
              f"zero {100 * (latent == 0).mean():.1f} % of the time")


def main():
    tf.get_logger().setLevel("ERROR")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=["small", "medium", "large"])
    parser.add_argument("out", help="the model file to write (or, with --report-on, to read)")
    parser.add_argument("--events", help="CSV of charges to train on")
    parser.add_argument("--validation", help="CSV of charges to choose the best step by")
    parser.add_argument("--validation-events", type=int, default=3000)
    parser.add_argument("--start", help="model file to start from")
    parser.add_argument("--report-on", nargs="+", help="do not train: evaluate on these CSV files")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transport", type=float, default=0.02, help="weight of the transport term")
    parser.add_argument("--smoothing", type=float, default=0.5, help="of the transport term, in units of distance")
    parser.add_argument("--rounds", type=int, default=20, help="Sinkhorn iterations")
    parser.add_argument("--report", type=int, default=2000, help="steps between two evaluations")
    parser.add_argument("--jit", action="store_true", help="compile the step with XLA")
    arguments = parser.parse_args()
    if arguments.report_on:
        report(arguments)
    else:
        train(arguments)


if __name__ == "__main__":
    main()
