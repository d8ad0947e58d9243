"""Draw similarity and error rate over the weight of the KL, from scored trainings.

python recipes/sweep/plot.py RUNS --out kl    # kl.png and kl.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import yaml

FIGURES = {
    "sim_target": "similarity to the target\n(cosine, higher is better)",
    "cer_recogniser": "character error rate\n(lower is better)",
}


def main() -> int:
    """Read, write the table, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the trainings")
    parser.add_argument("--out", type=Path, required=True, help="name of the results, without a suffix")
    given = parser.parse_args()
    rows = sorted(map(read, given.runs.glob("*/scores/report.json")), key=lambda row: row["weight"])
    if not rows:
        print(f"plot: error: {given.runs}: holds no scored training", file=sys.stderr)
        return 1
    with given.out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, given.out.with_suffix(".png"))
    return 0


def read(report: Path) -> dict[str, Any]:
    """One training: its weight, what the KL came to, and both figures with their intervals."""
    run = report.parents[1]
    config = yaml.safe_load((run / "config.yaml").read_text())
    row: dict[str, Any] = {"weight": float(config["loss"]["weights"]["kl"]["value"]), "kl_nats": last_kl(run)}
    for figure in FIGURES:
        interval = json.loads(report.read_text())["rows"]["conversion"][figure]
        row |= {
            figure: interval["mean"],
            f"{figure}_low": interval["low"],
            f"{figure}_high": interval["high"],
        }
    return row


def last_kl(run: Path) -> float | None:
    """KL a code frame at the last validation, nats."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    values = [value for line in lines for name, value in line.items() if name.endswith("speakers/kl_raw")]
    return values[-1] if values else None


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One panel a figure, 95 % intervals as bars; the KL that came of each weight stands above."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(9, 3.8), layout="constrained")
    weights = [row["weight"] for row in rows]
    for plot, (figure, label) in zip(canvas.subplots(1, len(FIGURES)), FIGURES.items(), strict=True):
        middle = [row[figure] for row in rows]
        low = [row[figure] - row[f"{figure}_low"] for row in rows]
        high = [row[f"{figure}_high"] - row[figure] for row in rows]
        plot.errorbar(weights, middle, [low, high], marker="o", capsize=3)
        for row in rows:
            if row["kl_nats"] is not None:
                place = (row["weight"], row[f"{figure}_high"])
                plot.annotate(
                    f"{row['kl_nats']:.2g} nats", place, (0, 4), textcoords="offset points", ha="center"
                )
        plot.set(xscale="log", xlabel="weight of the KL", ylabel=label)
        plot.margins(x=0.12, y=0.2)
    canvas.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
