"""Draw every ratio against its goal. Run by the benchmark's own environment, which has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt


def main(results: Path, target: Path) -> None:
    """Bars: ratio divided by goal, so that one line shows what is met."""
    entries = [entry for entry in json.loads(results.read_text()) if entry["ratio"]]
    plt.rcParams["svg.hashsalt"] = "orbitory"
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(entries) + 1.2), layout="constrained")
    names = [f"{entry['stage']}  {entry['ratio']:.3g} / {entry['goal']:.3g}" for entry in entries]
    colours = ["#2b7a5b" if entry["met"] else "#b3492e" for entry in entries]
    axes.barh(names, [entry["ratio"] / entry["goal"] for entry in entries], color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("ratio / goal; right of the line: goal met")
    axes.invert_yaxis()
    figure.savefig(target, metadata={"Date": None})


main(Path(sys.argv[1]), Path(sys.argv[2]))
