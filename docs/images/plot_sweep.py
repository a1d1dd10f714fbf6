"""Draws what protection buys: sweep.json of `trivote sweep ... -o DIR` -> SVG.

    python3 docs/images/plot_sweep.py DIR/sweep.json docs/images/tradeoff.svg

Needs matplotlib.
"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

source, target = sys.argv[1:]
sweep = json.load(open(source))
plt.rcParams["svg.hashsalt"] = "trivote"
figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
styles = {"oracle": ("#0b6e4f", "o"), "msb": ("#c8553d", "s"), "random": ("#5b5f97", "^")}
for ranking, (color, marker) in styles.items():
    points = [p for p in sweep["points"] if p["ranking"] == ranking]
    x = [0] + [100 * p["share_of_accelerator"] for p in points]
    y = [100] + [100 * (1 - p["share_removed"]) for p in points]
    axes.plot(x, y, color=color, marker=marker, markersize=5, label=ranking)
axes.axhline(0, color="0.6", linewidth=0.8)
axes.set_xlabel("area added by TMR, % of the whole accelerator")
axes.set_ylabel("summed error rise that remains, %")
axes.set_title(f"{sweep['provenance']['command'][2]}: {sweep['unprotected']['candidate_bits']:,} weight bits, "
               f"{sweep['protection']} TMR on {sweep['technology']}", fontsize=11)
axes.grid(color="0.9")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(title="bits chosen by", frameon=False)
figure.savefig(target, metadata={"Date": None})
