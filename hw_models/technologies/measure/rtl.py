"""Verilog of everything whose area is measured. Text only: no tool is run here.

Every design is one module under `keep_hierarchy`, so that a whole group is synthesized in one run and nothing is shared
between two designs. Copies of a triplicated register and their voters are separate modules under `keep_hierarchy` too:
without that, synthesis merges the identical registers and the triplication is gone.
"""

from dataclasses import dataclass

BANK_BITS = 16

WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16]
"""Operand widths of the tabulated multipliers."""

HELD_OUT = [(4, 13), (6, 13), (8, 15), (9, 13), (13, 13), (15, 15), (6, 18), (8, 20), (5, 24), (18, 18)]
"""Multipliers measured only to check the values between and beyond the tabulated ones."""

ADDER_WIDTHS = [8, 12, 16, 20, 24, 32]

ROUNDINGS = ["trn", "trn_zero", "rnd", "rnd_zero", "rnd_inf", "rnd_min_inf", "rnd_conv"]
OVERFLOWS = ["wrap", "sat", "sat_zero", "sat_sym"]

QUANTIZERS = [(16, 4, 8), (16, 8, 7), (20, 6, 9), (20, 10, 9), (22, 8, 12), (24, 12, 9), (24, 8, 13), (28, 10, 16)]
"""(input bits, bits cut off on the right, output bits)."""


@dataclass(frozen=True)
class Design:
    """One module to measure: `parameters` end up in the results, `flip_flops` is what must survive synthesis."""

    group: str
    name: str
    parameters: str
    verilog: str
    flip_flops: int = 0


REGISTER_PARTS = """
(* keep_hierarchy *) module part_voter(input a, input b, input c, output y);
  assign y = (a & b) | (a & c) | (b & c);
endmodule
(* keep_hierarchy *) module part_voter_flag(input a, input b, input c, output y, output differ);
  assign y = (a & b) | (a & c) | (b & c);
  assign differ = (a ^ b) | (a ^ c);
endmodule
(* keep_hierarchy *) module part_bank(input clk, input [{top}:0] d, output reg [{top}:0] q);
  always @(posedge clk) q <= d;
endmodule
(* keep_hierarchy *) module part_load_bank(input clk, input load, input [{top}:0] d, output reg [{top}:0] q);
  always @(posedge clk) if (load) q <= d;
endmodule
""".format(top=BANK_BITS - 1)


def _voters(suffix: str, flag: bool) -> str:
    """A voter per bit over qa, qb, qc; `v<suffix>` is the vote, `e<suffix>` the disagreement."""
    width = f"[{BANK_BITS - 1}:0]"
    kind = "part_voter_flag" if flag else "part_voter"
    i = f"i{suffix}"
    differ = f", .differ(e{suffix}[{i}])" if flag else ""
    return (
        f"  wire {width} v{suffix}; wire {width} e{suffix};\n"
        f"  genvar {i}; generate for ({i} = 0; {i} < {BANK_BITS}; {i} = {i} + 1) begin: voters{suffix}\n"
        f"    {kind} voter(.a(qa[{i}]), .b(qb[{i}]), .c(qc[{i}]), .y(v{suffix}[{i}]){differ});\n"
        "  end endgenerate\n"
    )


def registers() -> list[Design]:
    """Banks of register bits with load enable; one clock and one load line per copy where the style has them."""
    top = BANK_BITS - 1
    wires = f"  wire [{top}:0] qa; wire [{top}:0] qb; wire [{top}:0] qc;\n"
    designs = []

    def add(style: str, flag: bool, ports: str, body: str, copies: int, error: str) -> None:
        name = f"register_{style}{'_flag' if flag else ''}"
        flag_port = ", output error" if flag else ""
        flag_body = f"  assign error = {error};\n" if flag else ""
        text = f"(* keep_hierarchy *) module {name}({ports}, input [{top}:0] d, output [{top}:0] q{flag_port});\n"
        designs.append(Design("register", name, f"bits={BANK_BITS}", text + body + flag_body + "endmodule\n",
                              copies * BANK_BITS))

    add("plain", False, "input clk, input load",
        "  part_load_bank a(.clk(clk), .load(load), .d(d), .q(q));\n", 1, "")
    for flag in (False, True):
        banks = "".join(f"  part_load_bank {c}(.clk(clk), .load(load), .d(d), .q(q{c}));\n" for c in "abc")
        add("unvoted", flag, "input clk, input load",
            wires + banks + _voters("a", flag) + "  assign q = va;\n", 3, "|ea")
        banks = "".join(f"  part_bank {c}(.clk(clk), .d(next), .q(q{c}));\n" for c in "abc")
        add("feedback", flag, "input clk, input load",
            wires + _voters("a", flag) + f"  wire [{top}:0] next = load ? d : va;\n" + banks + "  assign q = va;\n",
            3, "|ea")
        copies = "".join(
            _voters(c, flag) + f"  wire [{top}:0] next{c};\n  part_mux mux{c}(.load(load{c}), .d(d), .v(v{c}), .y(next{c}));\n"
            f"  part_bank {c}(.clk(clk{c}), .d(next{c}), .q(q{c}));\n" for c in "abc")
        add("feedback3", flag, "input clka, input clkb, input clkc, input loada, input loadb, input loadc",
            wires + copies + "  assign q = va;\n", 3, "|{ea, eb, ec}")
    mux = (f"(* keep_hierarchy *) module part_mux(input load, input [{top}:0] d, input [{top}:0] v, output [{top}:0] y);\n"
           "  assign y = load ? d : v;\nendmodule\n")
    designs.append(Design("parts", "parts", "", REGISTER_PARTS + mux))
    return designs


def _product_ports(width_a: int, width_b: int, signs: str) -> tuple[str, str]:
    """Module name and head of a multiplier; `signs` is `ss`, `su` (a signed, b unsigned) or `uu`."""
    name = f"mul_{signs}_{width_a}x{width_b}"
    port_a, port_b = ("signed " if sign == "s" else "" for sign in signs)
    return name, (f"(* keep_hierarchy *) module {name}(input {port_a}[{width_a - 1}:0] a, "
                  f"input {port_b}[{width_b - 1}:0] b, output [{width_a + width_b - 1}:0] p);\n")


def multiplier(width_a: int, width_b: int, signs: str) -> Design:
    """The exact product, its structure left to synthesis: right for standard cells."""
    name, head = _product_ports(width_a, width_b, signs)
    # An unsigned operand enters a signed product with a zero in front.
    operand_b = "$signed({1'b0, b})" if signs == "su" else "b"
    return Design("multiplier", name, f"signs={signs} a={width_a} b={width_b}",
                  head + f"  assign p = a * {operand_b};\nendmodule\n")


def row_multiplier(width_a: int, width_b: int, signs: str) -> Design:
    """The exact product from rows of carry-chain adders, one per bit of the narrower operand: right for an FPGA.

    Left to itself Yosys builds a tree of LUTs without carry chains, which is more than twice as large. A row adds the
    other operand to half the sum before; the last row of a signed operand subtracts.
    """
    name, head = _product_ports(width_a, width_b, signs)
    rows, row_sign, wide, wide_sign = (width_a, signs[0], width_b, signs[1])
    select, operand = "a", "b"
    if width_b <= width_a:
        rows, row_sign, wide, wide_sign = (width_b, signs[1], width_a, signs[0])
        select, operand = "b", "a"
    width = wide + 1
    fill = f"{operand}[{wide - 1}]" if wide_sign == "s" else "1'b0"
    body = f"  wire [{width - 1}:0] x = {{{fill}, {operand}}};\n"
    for i in range(rows):
        subtracts = row_sign == "s" and i == rows - 1
        body += f"  wire [{width - 1}:0] s{i};\n"
        if i == 0 and not subtracts:
            body += f"  assign s0 = x & {{{width}{{{select}[0]}}}};\n"
            continue
        sum_fill = f"s{i - 1}[{width - 1}]" if wide_sign == "s" else "1'b0"
        before = f"{{{sum_fill}, s{i - 1}[{width - 1}:1]}}" if i else f"{width}'d0"
        body += f"  part_row_{'sub' if subtracts else 'add'}_{width} r{i}(.s({before}), .x(x), .on({select}[{i}]), .y(s{i}));\n"
    low = "".join(f", s{i}[0]" for i in reversed(range(rows - 1)))
    body += f"  assign p = {{s{rows - 1}{low}}};\nendmodule\n"
    return Design("multiplier", name, f"signs={signs} a={width_a} b={width_b}", head + body)


def row_parts() -> list[Design]:
    """The rows of `row_multiplier`, one LUT per bit: the gate and the sum share it."""
    designs = []
    for width in sorted({max(a, b) + 1 for a, b in _multiplier_points()}):
        for name, sign in (("add", "+"), ("sub", "-")):
            module = f"part_row_{name}_{width}"
            designs.append(Design("row", module, f"width={width}", (
                f"(* keep_hierarchy *) module {module}(input [{width - 1}:0] s, input [{width - 1}:0] x, input on, "
                f"output [{width - 1}:0] y);\n  assign y = s {sign} (x & {{{width}{{on}}}});\nendmodule\n")))
    return designs


def _multiplier_points() -> list[tuple[int, int]]:
    return [(a, b) for a in WIDTHS for b in WIDTHS] + HELD_OUT


def multipliers(in_rows: bool) -> list[Design]:
    """The grid and the points held out; a product of two operands of one kind is measured once."""
    make = row_multiplier if in_rows else multiplier
    points = _multiplier_points()
    return [make(a, b, signs) for signs in ("ss", "su", "uu") for a, b in points if signs == "su" or a <= b]


def adders() -> list[Design]:
    designs = []
    for width in ADDER_WIDTHS:
        name = f"add_{width}"
        designs.append(Design("adder", name, f"width={width}", (
            f"(* keep_hierarchy *) module {name}(input [{width - 1}:0] a, input [{width - 1}:0] b, "
            f"output [{width - 1}:0] y);\n  assign y = a + b;\nendmodule\n")))
    return designs


def small_cells() -> list[Design]:
    """Per bit, over a bank: multiplexer, ReLU, flip-flop."""
    top = BANK_BITS - 1
    return [
        Design("cell", "mux2", f"bits={BANK_BITS}",
               f"(* keep_hierarchy *) module mux2(input s, input [{top}:0] a, input [{top}:0] b, output [{top}:0] y);\n"
               "  assign y = s ? a : b;\nendmodule\n"),
        Design("cell", "relu", f"bits={BANK_BITS}",
               f"(* keep_hierarchy *) module relu(input signed [{BANK_BITS}:0] x, output [{top}:0] y);\n"
               f"  assign y = x[{BANK_BITS}] ? {BANK_BITS}'d0 : x[{top}:0];\nendmodule\n"),
        Design("cell", "flip_flop", f"bits={BANK_BITS}",
               f"(* keep_hierarchy *) module flip_flop(input clk, input [{top}:0] d, output reg [{top}:0] q);\n"
               "  always @(posedge clk) q <= d;\nendmodule\n", BANK_BITS),
    ]


def quantizer(bits: int, cut: int, out: int, sign: str, rounding: str, overflow: str) -> Design:
    """A signed number of `bits` bits, rounded by `cut` bits and brought into `out` bits."""
    kept = bits - cut
    name = f"quant_{bits}_{cut}_{out}_{sign}_{rounding}_{overflow}"
    half = f"x[{cut - 1}]"
    sticky = f"(|x[{cut - 2}:0])"
    negative = f"x[{bits - 1}]"
    up = {
        "trn": "1'b0",
        "trn_zero": f"{negative} & ({half} | {sticky})",
        "rnd": half,
        "rnd_zero": f"{half} & ({negative} | {sticky})",
        "rnd_inf": f"{half} & (~{negative} | {sticky})",
        "rnd_min_inf": f"{half} & {sticky}",
        "rnd_conv": f"{half} & (x[{cut}] | {sticky})",
    }[rounding]
    high = (1 << (out - (sign == "s"))) - 1
    low = -high - 1 if sign == "s" else 0
    wide = kept + 1
    literal = lambda value: f"{out}'d{value & ((1 << out) - 1)}"
    constant = lambda value: f"-{wide}'sd{-value}" if value < 0 else f"{wide}'sd{value}"
    above, below = literal(high), literal(low)
    if overflow == "sat_zero":
        above = below = literal(0)
    if overflow == "sat_sym" and sign == "s":
        low, below = -high, literal(-high)
    clipped = f"(r > {constant(high)}) ? {above} : (r < {constant(low)}) ? {below} : r[{out - 1}:0]"
    if overflow == "wrap":
        clipped = f"r[{out - 1}:0]"
    return Design("quantizer", name, f"in={bits} cut={cut} out={out} sign={sign} rounding={rounding} overflow={overflow}", (
        f"(* keep_hierarchy *) module {name}(input signed [{bits - 1}:0] x, output [{out - 1}:0] y);\n"
        f"  wire up = {up};\n"
        f"  wire signed [{kept - 1}:0] floor = x[{bits - 1}:{cut}];\n"
        f"  wire signed [{wide - 1}:0] r = floor + $signed({{1'b0, up}});\n"
        f"  assign y = {clipped};\nendmodule\n"))


def quantizers() -> list[Design]:
    """Every size in the common modes, and one size in every mode."""
    designs = []
    for bits, cut, out in QUANTIZERS:
        for sign in "su":
            for rounding in ("trn", "rnd", "rnd_conv"):
                for overflow in ("wrap", "sat"):
                    if (rounding, overflow) != ("trn", "wrap"):
                        designs.append(quantizer(bits, cut, out, sign, rounding, overflow))
    known = {design.name for design in designs}
    for rounding in ROUNDINGS:
        for overflow in OVERFLOWS:
            if (rounding, overflow) != ("trn", "wrap"):
                design = quantizer(22, 8, 12, "s", rounding, overflow)
                if design.name not in known:
                    designs.append(design)
    return designs


NEURONS = [(8, 8, 10, "s", 2, 16), (16, 6, 12, "u", 6, 9), (25, 5, 10, "s", 2, 11)]
"""(inputs, weight bits, input bits, input sign, bits cut off, output bits)."""


def neuron(inputs: int, weight: int, x: int, x_sign: str, cut: int, out: int) -> Design:
    """One output of a fully unrolled layer with all its registers: what the parts add up to is checked against it.

    Weights and bias are signed with one integer bit, products start at the bias, the output is unsigned, rounded to even
    and clipped.
    """
    name = f"neuron_{inputs}_{weight}_{x}{x_sign}_{cut}_{out}"
    x_low, x_high = (-(1 << (x - 1)), (1 << (x - 1)) - 1) if x_sign == "s" else (0, (1 << x) - 1)
    w_low, w_high = -(1 << (weight - 1)), (1 << (weight - 1)) - 1
    products = [a * b for a in (w_low, w_high) for b in (x_low, x_high)]
    # The bias has as many fractional bits as a weight; the input's are those below its two or three integer bits.
    shift = x - (2 if x_sign == "s" else 3)
    low = inputs * min(products) + (w_low << shift)
    high = inputs * max(products) + (w_high << shift)
    bits = max((~low).bit_length(), high.bit_length()) + 1
    load = "".join(f"    if (load[{i}]) w{i} <= d;\n" for i in range(inputs + 1))
    sample = "".join(f"    x{i} <= in[{x * i + x - 1}:{x * i}];\n" for i in range(inputs))
    declare = "".join(f"  reg signed [{weight - 1}:0] w{i};\n" for i in range(inputs + 1))
    declare += "".join(f"  reg {'signed ' if x_sign == 's' else ''}[{x - 1}:0] x{i};\n" for i in range(inputs))
    operand = "x{}" if x_sign == "s" else "$signed({{1'b0, x{}}})"
    sums = " + ".join(f"w{i} * {operand.format(i)}" for i in range(inputs))
    inner = quantizer(bits, cut, out, "u", "rnd_conv", "sat")
    body = (f"module {name}(input clk, input [{inputs}:0] load, input [{weight - 1}:0] d, input [{inputs * x - 1}:0] in, "
            f"output reg [{out - 1}:0] q);\n{declare}"
            f"  wire signed [{bits - 1}:0] acc = {sums} + (w{inputs} <<< {shift});\n"
            f"  wire [{out - 1}:0] y;\n  {inner.name} round(.x(acc), .y(y));\n"
            f"  always @(posedge clk) begin\n{load}{sample}    q <= y;\n  end\nendmodule\n")
    return Design("neuron", name, f"inputs={inputs} weight={weight} x={x}{x_sign} cut={cut} out={out} acc={bits}",
                  inner.verilog + "(* keep_hierarchy *) " + body, (inputs + 1) * weight + inputs * x + out)


def groups(technology: str) -> dict[str, list[Design]]:
    """What is synthesized together. A group may use modules of the groups before it."""
    in_rows = technology == "xc7"
    rows = {"rows": row_parts()} if in_rows else {}
    return {
        "registers": registers(),
        "cells": small_cells() + adders(),
        "quantizers": quantizers(),
        **rows,
        "multipliers": multipliers(in_rows),
        # Yosys cannot keep whole neurons of an FPGA on carry chains, so they would say nothing about other tools.
        **({} if in_rows else {"neurons": [neuron(*size) for size in NEURONS]}),
    }
