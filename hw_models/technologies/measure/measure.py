#!/usr/bin/env python3
"""Synthesizes the designs of rtl.py with Yosys and writes what they cost to results/<technology>.csv.

    python3 measure.py osu018 [--liberty FILE]
    python3 measure.py xc7

Needs Yosys; for osu018 also a Liberty file, which is only read. Stops when synthesis changed the number of flip-flops,
because then a triplication was optimized away and the area would mean nothing.
"""

import argparse
import csv
import pathlib
import re
import subprocess
import sys
import tempfile

import rtl

HERE = pathlib.Path(__file__).resolve().parent
LIBERTY = "/usr/share/qflow/tech/osu018/osu018_stdcells.lib"
UNIT_CELL = "NAND2X1"
"""The cell that is one gate equivalent."""


def top_of(designs: list[rtl.Design]) -> str:
    """A module that instantiates every design; unconnected ports keep their logic, for modules are not crossed."""
    instances = [f"  {design.name} u_{design.name}();" for design in designs if design.group != "parts"]
    return "module top();\n" + "\n".join(instances) + "\nendmodule\n"


def synthesize(designs: list[rtl.Design], known: list[rtl.Design], technology: str, liberty: str) -> str:
    """The report of `stat`, every module on its own; `known` are modules that the designs may use."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "designs.v"
        source.write_text("".join(design.verilog for design in known + designs) + top_of(designs))
        report = pathlib.Path(folder) / "stat.txt"
        read = f"read_verilog {source}; hierarchy -check -top top; setattr -mod -set keep_hierarchy 1 *; "
        # `keep` on the instances: their outputs lead nowhere.
        read += "setattr -set keep 1 top/*; "
        if technology == "osu018":
            script = (f"synth -top top -flatten; dfflibmap -liberty {liberty}; abc -liberty {liberty}; opt_clean; "
                      f"tee -o {report} stat -liberty {liberty}")
        else:
            script = ("synth_xilinx -family xc7 -top top -flatten -noiopad -noclkbuf -nodsp; "
                      f"tee -o {report} stat")
        subprocess.run(["yosys", "-q", "-p", read + script], check=True)
        return report.read_text()


def modules_of(report: str) -> dict[str, dict[str, float]]:
    """Per module: the count of every cell or submodule, and `area` where the library has areas."""
    modules: dict[str, dict[str, float]] = {}
    for block in re.split(r"\n=== ", report)[1:]:
        name, body = block.split(" ===", 1)
        if name == "design hierarchy":
            continue
        cells = {cell: float(count) for cell, count in re.findall(r"^     (\S+) +(\d+)$", body, re.MULTILINE)}
        area = re.search(r"Chip area for module '\\\S+': ([\d.]+)", body)
        cells["area"] = float(area.group(1)) if area else 0.0
        modules[name.lstrip("\\")] = cells
    return modules


def total(modules: dict[str, dict[str, float]], name: str) -> dict[str, float]:
    """Sums a module with its submodules. `stat` counts a submodule as a cell without area."""
    sums: dict[str, float] = {}
    for cell, count in modules[name].items():
        inner = {cell: 1.0} if cell not in modules else total(modules, cell)
        for key, value in inner.items():
            sums[key] = sums.get(key, 0.0) + count * value
    return sums


def is_flip_flop(cell: str) -> bool:
    return cell.startswith(("DFF", "FD")) and "BUF" not in cell


def unit_area(liberty: str) -> float:
    text = pathlib.Path(liberty).read_text()
    return float(re.search(rf"cell \({UNIT_CELL}\).*?area : ([\d.]+)", text, re.DOTALL).group(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("technology", choices=["osu018", "xc7"])
    parser.add_argument("--liberty", default=LIBERTY)
    arguments = parser.parse_args()
    unit = unit_area(arguments.liberty) if arguments.technology == "osu018" else 1.0
    version = subprocess.run(["yosys", "-V"], check=True, capture_output=True, text=True).stdout.split(" (")[0]
    rows = []
    known: list[rtl.Design] = []
    modules: dict[str, dict[str, float]] = {}
    for group, designs in rtl.groups(arguments.technology).items():
        found = modules_of(synthesize(designs, known, arguments.technology, arguments.liberty))
        # What was synthesized before stays as it was: Yosys orders the operands of an adder by internal numbers, which
        # decides in a large run whether the gate of a row shares the LUT of its sum.
        modules = found | modules
        known = [design for design in designs if design.group == "row"]
        for design in designs:
            if design.group == "parts":
                continue
            cells = total(modules, design.name)
            flip_flops = sum(count for cell, count in cells.items() if is_flip_flop(cell))
            if flip_flops != design.flip_flops:
                sys.exit(f"{design.name}: {flip_flops:.0f} flip-flops after synthesis, not {design.flip_flops}")
            luts = sum(count for cell, count in cells.items() if cell.startswith("LUT"))
            if design.group == "row" and luts > int(design.parameters.split("=")[1]):
                sys.exit(f"{design.name}: {luts:.0f} LUTs, more than one per bit")
            logic = cells["area"] / unit if arguments.technology == "osu018" else luts
            rows.append([design.group, design.name, design.parameters, f"{logic:.4f}", f"{flip_flops:.0f}",
                         " ".join(f"{cell}={count:.0f}" for cell, count in sorted(cells.items()) if cell != "area")])
        print(f"{group}: {len(designs)} designs", file=sys.stderr)
    output = HERE / "results" / f"{arguments.technology}.csv"
    output.parent.mkdir(exist_ok=True)
    with output.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["group", "design", "parameters", "ge" if arguments.technology == "osu018" else "luts",
                         "flip_flops", f"cells ({version})"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
