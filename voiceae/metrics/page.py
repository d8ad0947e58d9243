"""A report as one page that needs nothing but itself: tables, pictures, and sound."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape

import soundfile

from voiceae.metrics import pictures
from voiceae.metrics.evaluation import Evaluation, row_key
from voiceae.metrics.judges import SAMPLE_RATE
from voiceae.metrics.listening import Heard
from voiceae.metrics.pairs import Pair
from voiceae.metrics.report import FIGURES, Report
from voiceae.metrics.tables import BLOCKS, block, natural_cells, verdicts

EXAMPLES = 12
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
    yield _table([["", ""], *about, *([name, value] for name, value in report["judges"].items())])
    yield "<h2>In short</h2>" + _table([["figure", "value"], *map(list, verdicts(report))])
    yield "<h2>Natural speech</h2>" + _table(natural_cells(report))
    for title, figures in BLOCKS.items():
        cells = block(report["rows"], figures)
        if cells:
            legend = "".join(
                f"<li><code>{escape(name)}</code>: {escape(FIGURES[name])}</li>" for name in cells[0][1:]
            )
            yield f"<h2>{escape(title)}</h2>{_table(cells)}<ul>{legend}</ul>"
    for title, picture in (
        ("Voices", pictures.embedding_map(evaluation)),
        ("Similarity", pictures.similarity_matrix(evaluation)),
    ):
        if picture:
            yield f'<h2>{title}</h2><img alt="{title}" src="{picture}">'
    yield "<h2>Examples</h2>"
    for pair in examples(evaluation):
        yield _example(pair, evaluation)
    left_out = [[each["pair"], each["judge"] or "all", each["reason"]] for each in report["excluded"]]
    yield f"<h2>Left out: {len(left_out)}</h2>" + _table([["pair", "judge", "reason"], *left_out])
    yield (
        "<h2>Protocol</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in report["protocol"]) + "</ul>"
    )


def examples(evaluation: Evaluation) -> list[Pair]:
    """A dozen pairs evenly spread over all that were converted: not chosen by how they sound."""
    made = [pair for pair in evaluation.pairs if f"{pair.name}/conversion" in evaluation.waves]
    step = max(1, len(made) // EXAMPLES)
    return made[::step][:EXAMPLES]


def _example(pair: Pair, evaluation: Evaluation) -> str:
    rows = [row for row in PLAYED if row_key(row, pair) in evaluation.waves]
    players = "".join(_player(row, evaluation.waves[row_key(row, pair)]) for row in rows)
    figures = evaluation.values.get(pair.name, {}).get("conversion", {})
    shown = ("sim_target", "sim_source", "cer_recogniser", "ovrl")
    numbers = ", ".join(f"{name} {figures[name]:.2f}" for name in shown if name in figures)
    title = f"{pair.name}: {pair.source.speaker} as {pair.scored.speaker}"
    picture = pictures.example_picture(pair, evaluation, rows)
    return (
        f'<div class="example"><h3>{escape(title)}</h3><p>{escape(numbers)}</p>'
        f'<div class="players">{players}</div><img alt="mel and F0" src="{picture}"></div>'
    )


def _player(row: str, heard: Heard) -> str:
    encoded = io.BytesIO()
    soundfile.write(encoded, heard.wav, SAMPLE_RATE, format="MP3")
    address = "data:audio/mpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
    sound = f'<audio controls preload="none" src="{address}"></audio>'
    return f"<figure>{sound}<figcaption>{escape(row)}</figcaption></figure>"


def _table(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = cells
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"
