"""How long an oracle takes the usual way: write a flipped weight into QKeras, predict, score with POT.

    qkeras_baseline.py MODEL.h5 EVENTS.csv FLIPS

MODEL.h5 is an autoencoder with sub-models `encoder` (QKeras) and `decoder`; EVENTS.csv has the columns CALQ_0 to CALQ_47.
FLIPS random kernel bits are flipped, one at a time. Only events whose code a flip changes are scored again, which is
kind: the common practice scores all of them. Needs tensorflow-cpu 2.15, qkeras 0.9, pot and numpy.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import ot
import tensorflow as tf
from qkeras.utils import _add_supported_quantized_objects

# The cell at each pixel of the 8x8 image; the fourth quadrant would repeat cells and stays empty.
CELL_OF_PIXEL = np.array(
    [
        [28, 29, 30, 31, 0, 4, 8, 12],
        [24, 25, 26, 27, 1, 5, 9, 13],
        [20, 21, 22, 23, 2, 6, 10, 14],
        [16, 17, 18, 19, 3, 7, 11, 15],
        [47, 43, 39, 35, -1, -1, -1, -1],
        [46, 42, 38, 34, -1, -1, -1, -1],
        [45, 41, 37, 33, -1, -1, -1, -1],
        [44, 40, 36, 32, -1, -1, -1, -1],
    ]
)

# Cell 16 s + 4 r + c lies at origin + r * row + c * column, in units of (sqrt(3) / 4, 1 / 4) half cell pitches.
SECTORS = [((0, 0), (4, -4), (0, -8)), ((-16, -34), (0, 8), (4, 4)), ((9, -41), (-4, -4), (-4, 4))]


def distances():
    places = [
        [(o + r * x + c * y) * unit for o, x, y, unit in zip(origin, row, column, (np.sqrt(3) / 4, 1 / 4))]
        for origin, row, column in SECTORS
        for r in range(4)
        for c in range(4)
    ]
    places = np.array(places)
    return ot.dist(places, places, "euclidean")


class Judge:
    """Decoder and metric for a list of events."""

    def __init__(self, decoder, charges):
        self.decoder, self.charges, self.distances = decoder, charges, distances()
        flat = CELL_OF_PIXEL.ravel()
        self.pixels = np.array([np.flatnonzero(flat == cell)[0] for cell in range(48)])

    def errors(self, codes, which):
        decoded = self.decoder.predict(codes, batch_size=4096, verbose=0)
        cells = decoded.reshape(len(codes), 64)[:, self.pixels].astype(float)
        return np.array([self.emd(self.charges[event], cells[event]) for event in which])

    def emd(self, charges, cells):
        total = cells.sum()
        return ot.emd2(charges / charges.sum(), cells / total, self.distances) if total > 0 else -0.5


def kernel_layers(encoder):
    """Layers with a kernel quantizer, with the number of bits of their kernels."""
    layers = [layer for layer in encoder.layers if hasattr(layer, "kernel_quantizer_internal")]
    return layers, [int(np.prod(layer.kernel.shape)) * layer.kernel_quantizer_internal.bits for layer in layers]


def flipped(layer, bit):
    """The kernel with one bit of its fixed-point form flipped; bit 0 is the sign of the first weight."""
    quantizer = layer.kernel_quantizer_internal
    width, step = quantizer.bits, 2.0 ** (quantizer.integer + 1 - quantizer.bits)
    weight, place = divmod(bit, width)
    kernel = layer.kernel.numpy()
    word = round(float(quantizer(layer.kernel).numpy().flat[weight]) / step) % 2**width
    word ^= 1 << (width - 1 - place)
    kernel.flat[weight] = (word - 2**width if word >= 2 ** (width - 1) else word) * step
    return kernel


def main():
    model_file, events_file, flips = sys.argv[1], sys.argv[2], int(sys.argv[3])
    objects = {}
    _add_supported_quantized_objects(objects)
    model = tf.keras.models.load_model(model_file, custom_objects=objects, compile=False)
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")

    with open(events_file) as file:
        columns = file.readline().strip().split(",")
    charges = np.loadtxt(events_file, delimiter=",", skiprows=1, ndmin=2)
    charges = charges[:, [columns.index(f"CALQ_{cell}") for cell in range(48)]]
    charges = charges / 2.0 ** np.floor(np.log2(charges.sum(axis=1, keepdims=True)))
    images = np.where(CELL_OF_PIXEL >= 0, charges[:, CELL_OF_PIXEL], 0.0)[..., None].astype("float32")

    judge = Judge(decoder, charges)
    golden_codes = encoder.predict(images, batch_size=4096, verbose=0)
    golden = judge.errors(golden_codes, range(len(images)))
    layers, sizes = kernel_layers(encoder)
    generator = np.random.default_rng(1)
    chosen = generator.choice(sum(sizes), size=flips, replace=False)
    seconds, rises, changed = 0.0, [], 0
    for bit in chosen:
        for layer, size in zip(layers, sizes):
            if bit < size:
                break
            bit -= size
        kept, faulty = layer.kernel.numpy(), flipped(layer, bit)
        start = time.perf_counter()
        layer.kernel.assign(faulty)
        codes = encoder.predict(images, batch_size=4096, verbose=0)
        which = np.flatnonzero((codes != golden_codes).any(axis=1))
        errors = golden.copy()
        errors[which] = judge.errors(codes, which)
        seconds += time.perf_counter() - start
        layer.kernel.assign(kept)
        changed += len(which)
        rises.append(errors.mean() - golden.mean())
    each = seconds / flips
    print(
        f"{model_file}, {len(images)} events: mean EMD {golden.mean():.4f}, mean rise of {flips} flips {np.mean(rises):.5f}, "
        f"{changed / flips:.0f} events changed per flip; {each:.3f} s per flip, {each * sum(sizes):.0f} s for all "
        f"{sum(sizes)} kernel bits"
    )


if __name__ == "__main__":
    main()
