"""A report as Markdown, and as one HTML page that needs nothing but itself: tables, pictures and sound."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiceae.evaluation.evaluation import Evaluation, row_key
from voiceae.evaluation.figures import FIGURES
from voiceae.evaluation.pairs import Pair
from voiceae.evaluation.report import Report
from voiceae.evaluation.systems import ROWS
from voiceae.evaluation.verification.embeddings import embedding_cells
from voiceae.pretrained.scorers import F0_PERIOD_SECONDS, SAMPLE_RATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLOCKS = {
    title: tuple(name for name, figure in FIGURES.items() if figure.table == title)
    for title in dict.fromkeys(figure.table for figure in FIGURES.values())
}
"""Tables by title, with their columns."""

GROUP_FIGURES = (
    *("sim_target", "sim_source", "nearer_target", "accepted", "sim_target_dvector", "accepted_dvector"),
    *("cer_recogniser", "ovrl", "distilmos"),
)


def markdown(report: Report) -> str:
    """The whole report as Markdown."""
    about = [f"- {name}: {_text(value)}" for name, value in report["about"].items()]
    about.append(f"- seed: {report['seed']}")
    about.append("- scorers: " + "; ".join(f"{name}: {value}" for name, value in report["scorers"].items()))
    parts = ["# Evaluation", "\n".join(about)]
    if summary := headline_figures(report):
        parts.append("## In short\n\n" + _markdown_table([["figure", "value"], *map(list, summary)]))
    if notes := notes_of(report):
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in notes))
    for part, title in NATURAL.items():
        if report.get(part):
            parts.append(f"## {title}\n\n" + _markdown_table(natural_cells(report, part)))
    if report.get("embeddings"):
        parts.append("## Speaker embeddings\n\n" + _markdown_table(embedding_cells(report["embeddings"])))
        parts.append(report["embeddings"]["protocol"])
    for title, figures in BLOCKS.items():
        if table := block(report["rows"], figures):
            legend = "\n".join(f"- {FIGURES[name].words}: {FIGURES[name].meaning}" for name in figures)
            parts.append(f"## {title}\n\n{_markdown_table(table)}\n\n{legend}")
    if table := block(report["groups"], GROUP_FIGURES):
        parts.append("## Conversions by sex\n\n" + _markdown_table(table))
    if table := block(report.get("directions", {}), GROUP_FIGURES):
        title = f"## Conversions by direction\n\nBy {report['directions_by']}.\n\n"
        parts.append(title + _markdown_table(table))
    if excluded := excluded_cells(report):
        parts.append(f"## Left out: {len(excluded) - 1}\n\n" + _markdown_table(excluded))
    else:
        parts.append("## Left out\n\nNothing.")
    parts.append("## Protocol\n\n" + "\n".join(f"- {line}" for line in report["protocol"]))
    return "\n\n".join(parts) + "\n"


def block(rows: Mapping[str, Any], figures: Sequence[str]) -> list[list[str]]:
    """Cells of a table, its head first: rows that have any of the figures; empty when there are none."""
    present = [figure for figure in figures if any(figure in values for values in rows.values())]
    table = [
        [ROWS[row].words if row in ROWS else row, *(interval(values.get(figure)) for figure in present)]
        for row, values in rows.items()
        if set(present) & set(values)
    ]
    return [["row", *(FIGURES[figure].words for figure in present)], *table] if table else []


def interval(values: Mapping[str, float] | None) -> str:
    """Mean, interval and number of pairs."""
    if values is None:
        return ""
    return f"{values['mean']:.3f} [{values['low']:.3f}, {values['high']:.3f}] n={values['n']:.0f}"


def headline_figures(report: Report) -> list[tuple[str, str]]:
    """The figures that decide whether anything was converted, with what they are."""
    found = []
    against = {"source": "sim_target", "transfer": "sim_target", "shuffled": "cer_recogniser", "copy": "ovrl"}
    for row, figure in against.items():
        difference = report["differences"].get(row, {}).get(figure)
        if difference:
            what = f"conversion minus {ROWS[row].words}: {FIGURES[figure].words}"
            found.append((what, interval(difference)))
    for figure in ("nearer_target", "nearer_target_than_clip", "accepted", "cer_recogniser"):
        value = report["rows"].get("conversion", {}).get(figure)
        if value:
            found.append((FIGURES[figure].words, interval(value)))
    return found


NATURAL = {"natural": "Natural speech", "natural_dvector": "Natural speech, by the d-vector"}
"""Tables of what an encoder finds in natural speech."""


def notes_of(report: Report) -> list[str]:
    """What a reader must know: notes of the evaluation, and which judges taught the model."""
    taught = report.get("teachers", {}).items()
    return [
        *report.get("notes", ()),
        *(
            f"The figures of {scorer} are a teacher's: the model learnt from {network}."
            for scorer, network in taught
        ),
    ]


def natural_cells(report: Report, part: str = "natural") -> list[list[str]]:
    """Cells of a table of natural speech, its head first."""
    columns = ("same", "different", "eer", "threshold", "clips", "pairs_same", "pairs_different")
    natural = report.get(part, {}).items()
    rows = [[name, *(f"{values[column]:.4g}" for column in columns)] for name, values in natural]
    return [["subset", *columns], *rows]


def excluded_cells(report: Report) -> list[list[str]]:
    """Cells of the table of what was left out, its head first; empty when nothing was."""
    rows = [[each["pair"], each["scorer"] or "all", each["reason"]] for each in report["excluded"]]
    return [["pair", "scorer", "reason"], *rows] if rows else []


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown_table(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in cells]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


Array = NDArray[np.float64]

MAX_LABELS = 40  # of 6-point names on an 8-inch map; more cover each other


def embedding_map(evaluation: Evaluation) -> str | None:
    """Speakers and conversions on the principal axes of the speakers; colours are targets."""
    from matplotlib.colors import hsv_to_rgb

    natural, converted = _natural_embeddings(evaluation), _converted_embeddings(evaluation)
    if len(natural) < 3 or not converted:
        return None
    names = sorted(natural)
    centres = np.stack([natural[name].mean(axis=0) for name in names])
    middle = centres.mean(axis=0)
    axes = np.linalg.svd(centres - middle, full_matrices=False)[2][:2]
    # Evenly spaced hues, alternating in brightness, so that neighbours on the wheel differ too.
    hues = [(index / len(names), 0.8, 0.9 if index % 2 else 0.6) for index in range(len(names))]
    colours = dict(zip(names, hsv_to_rgb(hues).tolist(), strict=True))
    figure, (plot,) = _figure(8, 6)
    for name, (x, y) in zip(names, (centres - middle) @ axes.T, strict=True):
        plot.scatter(x, y, s=70, marker="o", color=colours[name], edgecolor="black", linewidth=0.5)
        if len(names) <= MAX_LABELS:
            plot.annotate(name, (x, y), fontsize=6, xytext=(4, 4), textcoords="offset points")
    for name, vector in converted:
        x, y = (vector - middle) @ axes.T
        plot.scatter(x, y, s=25, marker="x", color=colours.get(name, "grey"))
    plot.set_title("o natural speakers, x conversions in their target's colour")
    plot.set(xlabel="first axis", ylabel="second axis")
    return _encode(figure)


def similarity_matrix(evaluation: Evaluation) -> str | None:
    """Mean cosine of the conversions to each target (rows) with natural speech of each speaker (columns)."""
    natural = _natural_embeddings(evaluation)
    converted: dict[str, list[Array]] = defaultdict(list)
    for name, vector in _converted_embeddings(evaluation):
        converted[name].append(vector)
    targets, names = sorted(converted), sorted(natural)
    if not targets or not names:
        return None
    matrix = [[float(np.mean(np.stack(converted[t]) @ natural[n].T)) for n in names] for t in targets]
    figure, (plot,) = _figure(8, 7)
    picture = plot.imshow(matrix, aspect="auto", cmap="viridis", vmin=0.4, vmax=1.0)
    figure.colorbar(picture, label="cosine")
    plot.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    plot.set_yticks(range(len(targets)), targets, fontsize=6)
    plot.set(xlabel="natural speech of", ylabel="conversions to")
    return _encode(figure)


def example_picture(pair: Pair, evaluation: Evaluation, rows: Sequence[str]) -> str:
    """Mel pictures of some rows of a pair with the F0 contour on a second axis."""
    import librosa

    figure, plots = _figure(3.4 * len(rows), 2.4, len(rows))
    for plot, row in zip(plots, rows, strict=True):
        key = row_key(row, pair)
        wav = evaluation.waves[key].wav
        mel = librosa.feature.melspectrogram(y=wav, sr=SAMPLE_RATE, n_fft=1024, hop_length=320, n_mels=64)
        decibels = librosa.power_to_db(mel, ref=np.max, top_db=70)
        extent = (0.0, len(wav) / SAMPLE_RATE, 0.0, 64.0)
        plot.imshow(decibels, origin="lower", aspect="auto", extent=extent, cmap="magma")
        plot.set(xlabel="seconds", yticks=[])
        plot.set_title(row, fontsize=9)
        contour = plot.twinx()
        found = evaluation.measurements.get(key, {}).get("pitch")
        if isinstance(found, dict):
            f0 = np.array(found["f0"])
            times = np.arange(len(f0)) * F0_PERIOD_SECONDS
            contour.plot(times, np.where(f0 > 0, f0, np.nan), color="cyan", linewidth=1)
        contour.set_ylim(50, 450)  # Hz: what speech uses of the scorer's range
        contour.tick_params(labelsize=6)
    return _encode(figure)


def _natural_embeddings(evaluation: Evaluation) -> dict[str, Array]:
    """Embeddings of natural clips of the pairs by speaker, (n, S) each."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for pair in evaluation.pairs:
        for clip in (pair.source, pair.scored, pair.natural, pair.source_other):
            scored = evaluation.measurements.get(str(clip.path), {}).get("speaker") if clip else None
            if clip and isinstance(scored, dict):
                found[clip.speaker][str(clip.path)] = scored["embedding"]
    return {name: np.array(list(clips.values())) for name, clips in found.items()}


def _converted_embeddings(evaluation: Evaluation) -> list[tuple[str, Array]]:
    """Target and embedding of each conversion."""
    found = []
    for pair in evaluation.pairs:
        scored = evaluation.measurements.get(f"{pair.name}/conversion", {}).get("speaker")
        if isinstance(scored, dict):
            found.append((pair.scored.speaker, np.array(scored["embedding"])))
    return found


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(np.ravel(figure.subplots(1, columns)))


def _encode(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


EXAMPLES = 12  # with four players each, a page of about 5 MB
PLAYED = ("source", "target", "transfer", "conversion")

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: .6rem 0 1rem; font-size: 13px; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #d8dde3; padding: .25rem .6rem; text-align: left; vertical-align: top; }
th { background: #f3f5f7; } td:not(:first-child) { font-variant-numeric: tabular-nums; }
img { max-width: 100%; } audio { width: 13rem; height: 2rem; }
.example { border-top: 1px solid #d8dde3; padding: .6rem 0; }
.players { display: flex; flex-wrap: wrap; gap: .8rem; }
figure { margin: 0; } figcaption { font-size: 12px; color: #59636e; }
"""


def page(report: Report, evaluation: Evaluation) -> str:
    """The whole report as HTML.

    Args:
        report: of the evaluation.
        evaluation: for pictures and sound.
    """
    body = "\n".join(_body(report, evaluation))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>voiceae evaluation</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _body(report: Report, evaluation: Evaluation) -> Iterator[str]:
    yield "<h1>Evaluation</h1>"
    about = [[str(name), str(value)] for name, value in report["about"].items()]
    yield _html_table([["", ""], *about, *([name, value] for name, value in report["scorers"].items())])
    yield "<h2>In short</h2>" + _html_table([["figure", "value"], *map(list, headline_figures(report))])
    if notes := notes_of(report):
        yield "<h2>Notes</h2>" + _html_list(escape(note) for note in notes)
    for part, title in NATURAL.items():
        yield f"<h2>{title}</h2>" + _html_table(natural_cells(report, part))
    for title, figures in BLOCKS.items():
        if cells := block(report["rows"], figures):
            lines = (escape(f"{FIGURES[name].words}: {FIGURES[name].meaning}") for name in figures)
            yield f"<h2>{escape(title)}</h2>{_html_table(cells)}{_html_list(lines)}"
    pictures = {"Voices": embedding_map(evaluation), "Similarity": similarity_matrix(evaluation)}
    for title, picture in pictures.items():
        if picture:
            yield f'<h2>{title}</h2><img alt="{title}" src="{picture}">'
    yield "<h2>Examples</h2>"
    for pair in examples(evaluation):
        yield _example(pair, evaluation)
    excluded = excluded_cells(report)
    yield f"<h2>Left out: {max(0, len(excluded) - 1)}</h2>" + (_html_table(excluded) if excluded else "")
    yield "<h2>Protocol</h2>" + _html_list(escape(line) for line in report["protocol"])


def examples(evaluation: Evaluation) -> list[Pair]:
    """A dozen pairs evenly spread over all that were converted: not chosen by how they sound."""
    made = [pair for pair in evaluation.pairs if f"{pair.name}/conversion" in evaluation.waves]
    step = max(1, len(made) // EXAMPLES)
    return made[::step][:EXAMPLES]


def _example(pair: Pair, evaluation: Evaluation) -> str:
    rows = [row for row in PLAYED if row_key(row, pair) in evaluation.waves]
    players = ""
    for row in rows:
        encoded = io.BytesIO()
        soundfile.write(encoded, evaluation.waves[row_key(row, pair)].wav, SAMPLE_RATE, format="MP3")
        address = "data:audio/mpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
        sound = f'<audio controls preload="none" src="{address}"></audio>'
        players += f"<figure>{sound}<figcaption>{escape(row)}</figcaption></figure>"
    figures = evaluation.values.get(pair.name, {}).get("conversion", {})
    shown = ("sim_target", "sim_source", "cer_recogniser", "ovrl")
    numbers = ", ".join(f"{name} {figures[name]:.2f}" for name in shown if name in figures)
    title = f"{pair.name}: {pair.source.speaker} as {pair.scored.speaker}"
    picture = example_picture(pair, evaluation, rows)
    return (
        f'<div class="example"><h3>{escape(title)}</h3><p>{escape(numbers)}</p>'
        f'<div class="players">{players}</div><img alt="mel and F0" src="{picture}"></div>'
    )


def _html_list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _html_table(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = cells
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"
