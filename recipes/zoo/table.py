"""The comparison of all systems that have been trained, scored and diagnosed: zoo.csv, zoo.md and zoo.png."""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- zoo:begin -->", "<!-- zoo:end -->"
REFERENCES = {
    "target": "another clip of the target",
    "source": "untouched source",
    "copy": "copy-synthesis",
    "transfer": "mean/variance transfer",
}
COLUMNS = {
    "system": "system",
    "similarity": "similarity to the target",
    "nearer": "nearer to the target",
    "cer": "character error",
    "mos": "DNSMOS overall",
    "leaked": "speaker in the codes, times chance",
    "bits_per_second": "bits per second",
    "mel_error": "mel error",
    "parameters": "parameters",
    "steps": "steps",
    "seconds": "seconds",
    "frames_per_second": "frames per second",
}
"""Keys of a row, and the heads of the table."""

Row = dict[str, Any]


def main() -> None:
    """Write the table; a bad input is one line and exit code 1."""
    from voiceae import VoiceAEError
    from voiceae.io.filesystem import atomic_path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder with a folder for each system")
    parser.add_argument("--systems", nargs="+", required=True, help="in the order of the table")
    parser.add_argument("--readme", type=Path, help="file to put the table into, between its markers")
    options = parser.parse_args()
    try:
        done = [name for name in options.systems if is_done(options.out / name)]
        if not done:
            sys.exit(f"zoo: error: {options.out}: no system is trained, scored and diagnosed yet")
        rows = [*reference_rows(options.out / done[0]), *(system_row(options.out / name) for name in done)]
        with atomic_path(options.out / "zoo.csv") as path:
            write_csv(rows, path)
        text = page(rows, options.out)
        with atomic_path(options.out / "zoo.md") as path:
            path.write_text(text, encoding="utf-8")
        with atomic_path(options.out / "zoo.png") as path:
            draw(rows, path)
        if options.readme:
            whole = between(options.readme.read_text(encoding="utf-8"), text)
            with atomic_path(options.readme) as path:
                path.write_text(whole, encoding="utf-8")
    except VoiceAEError as error:
        sys.exit(f"zoo: error: {error}")
    print(text)


def is_done(folder: Path) -> bool:
    """Whether a system has a model, a report and a diagnosis."""
    needed = ("run/model.safetensors", "report/report.json", "diagnosis/diagnosis.json")
    return all((folder / name).is_file() for name in needed)


def reference_rows(folder: Path) -> list[Row]:
    """Rows without a system; any report has them alike."""
    rows = read_json(folder / "report" / "report.json")["rows"]
    return [{"system": said, **scores_of(rows[name])} for name, said in REFERENCES.items() if name in rows]


def system_row(folder: Path) -> Row:
    """All figures of one system."""
    from voiceae.io import modelfile

    report = read_json(folder / "report" / "report.json")
    areas = read_json(folder / "diagnosis" / "diagnosis.json")["areas"]
    path = folder / "run" / "model.safetensors"
    header, model = modelfile.read_header(path), modelfile.load(path, kind="autoencoder").module
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    leaked, collapse = areas["leakage"]["figures"]["times_chance"], areas["collapse"]["figures"]
    return {
        "system": folder.name,
        **scores_of(report["rows"]["conversion"]),
        "leaked": leaked.get("sampled", leaked["codes"]),
        "bits_per_second": bits_per_second(areas, header.spec.frame_rate / float(model.rate)),
        "mel_error": collapse["reconstruction"]["as it is"],
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "steps": header.extra["steps"],
        "seconds": header.extra["seconds"],
        "frames_per_second": median([line["frames_per_second"] for line in lines if "total" in line]),
    }


def scores_of(figures: Mapping[str, Any]) -> Row:
    """Figures of one row, those that there are."""
    names = {"similarity": "sim_target", "nearer": "nearer_target", "cer": "cer_recogniser", "mos": "ovrl"}
    return {key: figures[name]["mean"] for key, name in names.items() if name in figures}


def bits_per_second(areas: Mapping[str, Any], codes_per_second: float) -> float | None:
    """Entropy of a discrete code, or the KL of a Gaussian one; None for a code of plain numbers, which has no rate."""
    for area in areas.values():
        if "bits_per_second" in area["figures"]:
            return float(area["figures"]["bits_per_second"])
    nats = areas["collapse"]["figures"].get("kl_nats")
    return None if nats is None else float(nats) * codes_per_second / math.log(2)


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """All figures, unrounded; empty where there are none."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(COLUMNS), restval="")
        writer.writeheader()
        writer.writerows(rows)


def page(rows: Sequence[Row], out: Path) -> str:
    """The table, and where and how it was got."""
    made = (out / "made-from.txt").read_text(encoding="utf-8").split(", data.store=")[0].strip()
    report = next(out.glob("*/report/report.json"))
    about = read_json(report)["about"]
    lines = [
        f"Machine: {machine()}. Budget: {made}. Scored on {about['corpus']}, {about['speakers']} speakers that no "
        "system heard, each system on the same pairs.",
        "",
        "| " + " | ".join(COLUMNS.values()) + " |",
        "|---" * len(COLUMNS) + "|",
        *("| " + " | ".join(cell(key, row.get(key)) for key in COLUMNS) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def cell(key: str, value: Any) -> str:
    """As the table prints it; a dash where there is nothing to say."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return f"`{value}`" if value.isidentifier() else value
    formats = {"nearer": "{:.0%}", "mos": "{:.2f}", "leaked": "{:.1f}", "bits_per_second": "{:,.0f}"}
    formats |= dict.fromkeys(("parameters", "steps", "seconds", "frames_per_second"), "{:,.0f}")
    return formats.get(key, "{:.3f}").format(value)


def between(text: str, table: str) -> str:
    """A text with the table between its markers, in place of what is there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"zoo: error: the text has no lines {BEGIN} and {END}; put them where the table is to stand")
    return f"{before}{BEGIN}\n{table}{END}{after}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Rate against distortion: what is lost of the words and of the mel, by how much passes the bottleneck."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for axis, key, label in zip(
        axes, ("cer", "mel_error"), ("character error", "mel error, standard deviations"), strict=True
    ):
        rated = [row for row in rows if row.get("bits_per_second") and key in row]
        plain = [row for row in rows if row.get("bits_per_second") is None and "steps" in row and key in row]
        axis.scatter([row["bits_per_second"] for row in rated], [row[key] for row in rated], zorder=3)
        for row in rated:
            at = (row["bits_per_second"], row[key])
            axis.annotate(row["system"], at, (5, 3), textcoords="offset points", fontsize=8)
        for row in plain:  # no rate: a line across
            axis.axhline(row[key], color="0.7", linewidth=0.8, linestyle="--")
            across = axis.get_yaxis_transform()
            axis.text(0.995, row[key], row["system"], transform=across, fontsize=7, color="0.4", ha="right")
        axis.set(xscale="log", xlabel="bits per second of the code", ylabel=label)
        axis.margins(x=0.12)  # room for the last name
        axis.grid(alpha=0.3)
    figure.suptitle("Rate and distortion; dashed: codes of plain numbers, which have no rate")
    figure.savefig(path, dpi=110, format="png")
    pyplot.close(figure)


def machine() -> str:
    """The processor's name and, where there is one, the GPU's."""
    import torch

    names = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")]
    cpu = f"{names[0] if names else platform.machine()}, {len(names) or 1} logical cores"
    return f"{cpu}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else cpu


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def median(values: Sequence[float]) -> float | None:
    """Of numbers; None of none."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None


def read_json(path: Path) -> dict[str, Any]:
    """A report as it was written."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
