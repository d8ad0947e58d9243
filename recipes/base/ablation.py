"""Reports of variants, each in OUT/NAME/report, as one Markdown table; `base` is what the others are compared to.

python ablation.py OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

from voiceae.evaluation.report import compare, read_report
from voiceae.io.modelfile import read_header

FIGURES = {
    "sim_target": "similarity to the target",
    "sim_source": "to the source",
    "nearer_target": "nearer to the target",
    "cer_recogniser": "CER",
    "ovrl": "DNSMOS OVRL",
}


def table(folder: Path) -> str:
    """Markdown: one row a variant, what differs from `base` beyond its paired 95 % interval in bold."""
    reports = {path.parts[-3]: read_report(path) for path in sorted(folder.glob("*/report/report.json"))}
    names = sorted(reports, key=lambda name: (name != "base", name))
    there = [figure for figure in FIGURES if any(figure in reports[n]["rows"]["conversion"] for n in names)]
    lines = ["| variant | M frames | " + " | ".join(FIGURES[figure] for figure in there) + " |"]
    lines.append("|---" * (len(there) + 2) + "|")
    for name in names:
        frames = read_header(folder / name / "run" / "model.safetensors").extra["frames"] / 1e6
        changes = {c.figure: c for c in compare(reports[names[0]], reports[name]) if c.row == "conversion"}
        cells = [f"{changes[f].after:.3f}" if f in changes else "" for f in there]
        marked = [f in changes and changes[f].exceeds for f in there]
        shown = [f"**{cell}**" if mark else cell for cell, mark in zip(cells, marked, strict=True)]
        lines.append(f"| {name} | {frames:.2f} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
