"""Reports of variants, each in OUT/NAME/DEV, as Markdown tables, one a dev set; the others are compared to `base`.

    python ablation.py OUT [--half 0]

Of a figure: its mean, and in brackets mean and 95 % interval of the paired difference from `base`; bold where the
interval leaves zero out. --half takes every other pair, 0 those to choose a variant by, 1 those to report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voiceae.errors import VoiceAEError
from voiceae.evaluation.report import read_report
from voiceae.evaluation.scores import bootstrap
from voiceae.io.modelfile import read_header

FIGURES = {
    "sim_target": "similarity to the target",
    "sim_target_dvector": "by the d-vector",
    "sim_source": "to the source",
    "nearer_target": "nearer to the target",
    "nearer_target_dvector": "by the d-vector",
    "accepted": "accepted",
    "cer_recogniser": "CER",
    "ovrl": "DNSMOS OVRL",
}
BASE = "base"
LAST = ("base_gan", "base")  # the leg whose model was evaluated: the first that is there


def tables(folder: Path, half: int | None = None) -> str:
    """All tables; `folder` holds NAME/run and NAME/DEV/report.json of every variant."""
    paths = sorted(folder.glob("*/*/report.json"))
    found = []
    for dev in sorted({path.parts[-2] for path in paths}):
        reports = {path.parts[-3]: read_report(path) for path in paths if path.parts[-2] == dev}
        if BASE not in reports:
            sys.exit(f"ablation: error: {folder}: has no report of {BASE} on {dev}; evaluate it too")
        found.append(f"### {dev}\n\n{table(folder, reports, half)}")
    return "\n\n".join(found)


def table(folder: Path, reports: Mapping[str, Any], half: int | None) -> str:
    """Markdown: one row a variant, `base` first."""
    values = {
        name: {figure: pairs(report, figure, half) for figure in FIGURES} for name, report in reports.items()
    }
    names = sorted(reports, key=lambda name: (name != BASE, name))
    there = [figure for figure in FIGURES if any(values[name][figure] for name in names)]
    lines = ["| variant | M frames | " + " | ".join(FIGURES[figure] for figure in there) + " |"]
    lines.append("|---" * (len(there) + 2) + "|")
    for name in names:
        cells = [cell(values[name][figure], values[BASE][figure], name == BASE) for figure in there]
        lines.append(f"| {name} | {million_frames(folder / name / 'run'):.2f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pairs(report: Mapping[str, Any], figure: str, half: int | None) -> dict[tuple[str, ...], float]:
    """The figure of every conversion, by the clips that were scored."""
    chosen = report["pairs"] if half is None else report["pairs"][half::2]
    scored = ((pair, pair["rows"].get("conversion", {}).get(figure)) for pair in chosen)
    return {
        (pair["source"], *pair["references"]): float(value) for pair, value in scored if value is not None
    }


def cell(ours: Mapping[Any, float], base: Mapping[Any, float], is_base: bool) -> str:
    """Mean, and the paired difference from `base` over the pairs that both have."""
    if not ours:
        return ""
    mean = f"{sum(ours.values()) / len(ours):.3f}"
    both = [ours[key] - base[key] for key in ours if key in base]
    if is_base or not both:
        return mean
    interval = bootstrap(both, 0)
    text = f"{mean} ({interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}])"
    return f"**{text}**" if interval.low > 0 or interval.high < 0 else text


def million_frames(run: Path) -> float:
    """Of all legs behind the model that was evaluated."""
    model = next(path for leg in LAST if (path := run / leg / "model.safetensors").is_file())
    return float(read_header(model).extra["frames"]) / 1e6


def main() -> None:
    """Print the tables; a bad input is one line and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--half", type=int, choices=(0, 1), help="every other pair")
    given = parser.parse_args()
    try:
        print(tables(given.out, given.half))
    except VoiceAEError as error:
        sys.exit(f"ablation: error: {error}")


if __name__ == "__main__":
    main()
