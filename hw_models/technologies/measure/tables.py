#!/usr/bin/env python3
"""Writes the technology tables ../*.toml from results/*.csv and from the figures for sky130hd stated here.

    python3 tables.py

Needs nothing but Python. The quantizer is fitted by least squares, everything else is what was measured; every value is
written with its source next to it.
"""

import csv
import pathlib
from fractions import Fraction

import rtl

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent

QUANTIZER_TERMS = {
    "increment": "the adder of the rounding carry, per bit it runs over",
    "sticky": "whether anything was cut off below half a step, per bit cut off",
    "detect": "whether the value is out of range, and its rounding, per bit above the output",
    "clamp": "choosing between the value and the ends of the range, per output bit",
    "symmetric": "the comparison with a range that ends within the word (AP_SAT_SYM), per output bit",
}

SKY130_MULTIPLIERS = {(6, 6): (361, 283), (6, 8): (454, 369), (6, 9): (475, 405), (8, 8): (631, 551), (6, 16): (795, 714)}
"""Signed multipliers, GE on sky130hd and, in the same series, on osu018."""


def read(technology: str) -> list[dict]:
    with (HERE / "results" / f"{technology}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["logic"] = float(row.get("ge") or row.get("luts") or 0)
        row["p"] = dict(part.split("=") for part in row["parameters"].split())
    return rows


def per_bit(rows: list[dict], design: str) -> tuple[float, float]:
    """(logic, flip-flops) per bit of a bank."""
    row = next(row for row in rows if row["design"] == design)
    bits = int(row["p"]["bits"])
    return row["logic"] / bits, int(row["flip_flops"]) / bits


def solve(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """Gauss-Jordan in exact arithmetic."""
    size = len(right)
    rows = [row[:] + [value] for row, value in zip(matrix, right)]
    for column in range(size):
        pivot = next(row for row in range(column, size) if rows[row][column] != 0)
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for other in range(size):
            if other != column:
                factor = rows[other][column]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[column])]
    return [row[-1] for row in rows]


def quantizer_terms(p: dict) -> list[int]:
    """How often each of QUANTIZER_TERMS occurs in a measured quantizer; `Technology::quantizer` counts the same way."""
    bits, cut, out = (int(p[key]) for key in ("in", "cut", "out"))
    kept = bits - cut
    rounds, clips = p["rounding"] != "trn", p["overflow"] != "wrap"
    return [
        out if rounds else 0,
        cut if rounds and p["rounding"] != "rnd" else 0,
        kept - out if clips else 0,
        out if clips else 0,
        out if p["overflow"] == "sat_sym" and p["sign"] == "s" else 0,
    ]


def fit_quantizer(rows: list[dict]) -> tuple[list[float], float, float]:
    """Coefficients, largest and root-mean-square residual; a term that would come out negative is left out (0)."""
    samples = [(quantizer_terms(row["p"]), row["logic"]) for row in rows if row["group"] == "quantizer"]
    used = list(range(len(QUANTIZER_TERMS)))
    while True:
        normal = [[Fraction(sum(s[i] * s[j] for s, _ in samples)) for j in used] for i in used]
        right = [sum((Fraction(value) * s[i] for s, value in samples), Fraction(0)) for i in used]
        found = dict(zip(used, solve(normal, right)))
        if all(value > 0 for value in found.values()):
            break
        used = [i for i in used if found[i] > 0]
    weights = [round(float(found.get(i, 0)), 3) for i in range(len(QUANTIZER_TERMS))]
    residuals = [sum(w * n for w, n in zip(weights, s)) - value for s, value in samples]
    rms = (sum(r * r for r in residuals) / len(residuals)) ** 0.5
    return weights, max(abs(r) for r in residuals), rms


def multiplier_points(rows: list[dict], signs: str) -> dict[tuple[int, int], float]:
    points = {}
    for row in rows:
        if row["group"] == "multiplier" and row["p"]["signs"] == signs:
            a, b = int(row["p"]["a"]), int(row["p"]["b"])
            points[a, b] = row["logic"]
            if signs != "su":
                points[b, a] = row["logic"]
    return points


def interpolated(points: dict[tuple[int, int], float], a: int, b: int) -> float:
    """Bilinear between the tabulated widths around (a, b); beyond the last one, proportional to the width."""
    last = rtl.WIDTHS[-1]
    beyond = max(a / last, 1) * max(b / last, 1)

    def around(width: int) -> tuple[int, int]:
        upper = next(i for i in range(1, len(rtl.WIDTHS)) if width <= rtl.WIDTHS[i])
        return rtl.WIDTHS[upper - 1], rtl.WIDTHS[upper]

    a, b = min(a, last), min(b, last)
    (a0, a1), (b0, b1) = around(a), around(b)
    u, v = (a - a0) / (a1 - a0), (b - b0) / (b1 - b0)
    return beyond * ((1 - u) * ((1 - v) * points[a0, b0] + v * points[a0, b1])
                     + u * ((1 - v) * points[a1, b0] + v * points[a1, b1]))


def worst_interpolation(rows: list[dict], beyond: bool) -> str:
    """Where the table is farthest off among the widths measured but not tabulated: between them or beyond them."""
    worst = (-1.0, "")
    for signs, name in (("ss", "signed"), ("su", "signed by unsigned"), ("uu", "unsigned")):
        points = multiplier_points(rows, signs)
        for a, b in rtl.HELD_OUT:
            if (max(a, b) > rtl.WIDTHS[-1]) == beyond:
                error = interpolated(points, a, b) / points[a, b] - 1
                worst = max(worst, (abs(error), f"{100 * error:+.1f} % at {a}x{b} {name}"))
    return worst[1]


def cell(key: str, logic: float, source: str, flip_flops: float | None = None, unit: str = "ge") -> str:
    if unit == "ge":
        return f'{key} = {{ value = {logic:.3f}, source = "{source}" }}'
    return f'{key} = {{ luts = {logic:.3f}, flip_flops = {flip_flops or 0:.1f}, source = "{source}" }}'


def matrix(key: str, points: dict[tuple[int, int], float], scale: float = 1.0) -> str:
    rows = ["  [" + ", ".join(f"{points[a, b] * scale:.1f}" for b in rtl.WIDTHS) + "]," for a in rtl.WIDTHS]
    return f"{key} = [\n" + "\n".join(rows) + "\n]"


STYLES = ["plain", "unvoted", "unvoted_flag", "feedback", "feedback_flag", "feedback3", "feedback3_flag"]


def adder_bit(rows: list[dict]) -> tuple[float, float]:
    """Area per bit over all measured widths, and the largest deviation of one width from it, relative."""
    adders = [(int(row["p"]["width"]), row["logic"]) for row in rows if row["group"] == "adder"]
    value = sum(w * area for w, area in adders) / sum(w * w for w, _ in adders)
    return value, max(abs(value * w / area - 1) for w, area in adders)


def measured_table(technology: str, unit: str, description: str, how: str, structure: str) -> str:
    rows = read(technology)
    measured = f"measured: {how}, measure/results/{technology}.csv"
    lines = [
        f"# Written by measure/tables.py from measure/results/{technology}.csv; change those, not this file.",
        f'description = "{description}"', f'unit = "{unit}"', "", "# One register bit with load enable.", "[register]",
    ]
    for style in STYLES:
        logic, flip_flops = per_bit(rows, f"register_{style}")
        lines.append(cell(style, logic, f"{measured}, register_{style}", flip_flops, unit))
    lines += ["", "# Per bit.", "[logic]"]
    for key, design in (("flip_flop", "flip_flop"), ("mux2_bit", "mux2"), ("relu_bit", "relu")):
        logic, flip_flops = per_bit(rows, design)
        lines.append(cell(key, logic, f"{measured}, {design}", flip_flops, unit))
    value, worst = adder_bit(rows)
    widths = f"{rtl.ADDER_WIDTHS[0]} to {rtl.ADDER_WIDTHS[-1]}"
    lines.append(cell("adder_bit", value, f"{measured}, least squares over adders of {widths} bits, "
                      f"largest deviation {100 * worst:.1f} %", 0, unit))
    weights, worst, rms = fit_quantizer(rows)
    count = sum(row["group"] == "quantizer" for row in rows)
    fit = f"fitted to {count} quantizers in measure/results/{technology}.csv, largest residual {worst:.1f}, rms {rms:.1f}"
    lines += ["", "# Rounding and clipping, per bit; `Technology::quantizer` says which bits count.", "[quantizer]"]
    for (key, meaning), weight in zip(QUANTIZER_TERMS.items(), weights):
        lines += [f"# {meaning[0].upper()}{meaning[1:]}.", cell(key, weight, fit, 0, unit)]
    between, beyond = (worst_interpolation(rows, side) for side in (False, True))
    lines += [
        "", "# Exact product; rows and columns as `widths`. signed_unsigned: row signed, column unsigned.", "[multiplier]",
        f'source = "{measured}, mul_*, {structure}; bilinear between the widths (farthest off {between}), proportional to the width beyond ({beyond})"',
        f"widths = {rtl.WIDTHS}",
        matrix("signed_signed", multiplier_points(rows, "ss")), matrix("signed_unsigned", multiplier_points(rows, "su")),
        matrix("unsigned_unsigned", multiplier_points(rows, "uu")), "",
    ]
    return "\n".join(lines)


def sky130hd() -> str:
    """Registers and five multipliers were measured on sky130hd; the rest is osu018 scaled."""
    rows = read("osu018")
    seen = "measured with Yosys 0.23 on sky130hd"
    ratios = [sky / osu for sky, osu in SKY130_MULTIPLIERS.values()]
    ratio = round((max(ratios) * min(ratios)) ** 0.5, 3)
    spread = 100 * (max(ratios) / ratio - 1)
    scaled = f"derived: osu018.toml times {ratio}"
    flag = (47.8 - 33.0) / 3
    register = {
        "plain": (8.3, seen), "unvoted": (27.7, seen),
        "unvoted_flag": (27.7 + flag, "derived: unvoted plus one of the three flags of feedback3_flag"),
        "feedback": (21.7, seen),
        "feedback_flag": (21.7 + flag, "derived: feedback plus one of the three flags of feedback3_flag"),
        "feedback3": (33.0, seen), "feedback3_flag": (47.8, seen),
    }
    lines = [
        "# Written by measure/tables.py, which holds the sky130hd figures; the rest is osu018 scaled. Change those, not this file.",
        'description = "SkyWater 130 nm, high-density standard cells (registers measured, datapath derived from osu018)"',
        'unit = "ge"', "", "# One register bit with load enable.", "[register]",
        *(cell(style, value, source) for style, (value, source) in register.items()),
        "", "# Per bit.", "[logic]",
        cell("flip_flop", 5.33, "area of dfxtp_1 over nand2_1 in sky130hd"),
        cell("mux2_bit", 3.0, "area of mux2_1 over nand2_1 in sky130hd"),
        cell("relu_bit", per_bit(rows, "relu")[0] * ratio, f"{scaled}, the ratio of the multipliers"),
        cell("adder_bit", adder_bit(rows)[0] * 5.33 / 5.0, "derived: osu018.toml times 5.33 / 5.0, the ratio of the full adder cells"),
        "", "# Rounding and clipping, per bit; `Technology::quantizer` says which bits count.", "[quantizer]",
    ]
    for (key, meaning), weight in zip(QUANTIZER_TERMS.items(), fit_quantizer(rows)[0]):
        lines += [f"# {meaning[0].upper()}{meaning[1:]}.", cell(key, weight * ratio, f"{scaled}, the ratio of the multipliers")]
    figures = ", ".join(f"{b}x{a} {sky} (osu018 {osu})" for (a, b), (sky, osu) in SKY130_MULTIPLIERS.items())
    lines += [
        "", "# Exact product; rows and columns as `widths`. signed_unsigned: row signed, column unsigned.", "[multiplier]",
        f'source = "{scaled}, the middle of the ratios of five signed multipliers {seen}, GE: {figures}; '
        f'those differ from the scaled ones by at most {spread:.1f} %"',
        f"widths = {rtl.WIDTHS}",
        matrix("signed_signed", multiplier_points(rows, "ss"), ratio),
        matrix("signed_unsigned", multiplier_points(rows, "su"), ratio),
        matrix("unsigned_unsigned", multiplier_points(rows, "uu"), ratio), "",
    ]
    return "\n".join(lines)


def main() -> None:
    (TARGET / "osu018.toml").write_text(measured_table(
        "osu018", "ge", "OSU 0.18 um standard cells (Debian package qflow-tech-osu018)",
        "Yosys 0.23, osu018_stdcells.lib, NAND2X1 = 1 GE", "carry-save tree"))
    (TARGET / "sky130hd.toml").write_text(sky130hd())
    (TARGET / "xc7.toml").write_text(measured_table(
        "xc7", "lut_ff", "Xilinx 7-series, LUTs and flip-flops, without DSP blocks", "Yosys 0.23, synth_xilinx -family xc7 -nodsp",
        "rows of carry-chain adders"))


if __name__ == "__main__":
    main()
