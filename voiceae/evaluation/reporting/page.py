"""A report as one HTML page that needs nothing but itself: verdict, chart, pairs to listen to, tables behind folds."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import soundfile

from voiceae.evaluation.evaluation import Evaluation, row_key
from voiceae.evaluation.figures import FIGURES
from voiceae.evaluation.pairs import Pair
from voiceae.evaluation.report import Report
from voiceae.evaluation.reporting.chart import chart
from voiceae.evaluation.reporting.pictures import (
    embedding_map,
    mel_picture,
    melody_path,
    similarity_matrix,
)
from voiceae.evaluation.reporting.summary import (
    LEADING,
    Table,
    examples,
    excluded_table,
    headlines,
    label,
    notes,
    row_meanings,
    settings,
    tables,
    verdict,
)
from voiceae.io import audio as audio_io
from voiceae.io.filesystem import FILE_ERRORS, reason
from voiceae.pretrained.scorers import SAMPLE_RATE, Wav

STYLE = """
:root { color-scheme: light dark; --ink: #1b2127; --dim: #57616c; --line: #d3d9df; --paper: #fff; --soft: #f2f5f7;
  --accent: #0a5fc0; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --dim: #9ca7b3; --line: #3b444e;
  --paper: #14181c; --soft: #1f252b; --accent: #6fb3ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1rem; font-weight: 600; color: var(--dim); }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.25rem; }
h3 { margin: 0 0 .4rem; font-size: 1.05rem; }
.verdict { margin: .4rem 0 1.6rem; font-size: clamp(1.15rem, 5vw, 1.45rem); line-height: 1.35; }
p, ul { margin: .4rem 0; } ul { padding-left: 1.2rem; } small, .dim { color: var(--dim); font-size: .85rem; }
.chart { overflow: visible; font-size: 14px; }
.chart text { fill: var(--ink); } .chart .words { font-weight: 600; font-size: 13px; }
.chart .name { fill: var(--dim); font-size: 12px; }
.chart .axis { stroke: var(--line); } .chart .end { stroke: var(--dim); stroke-width: 2; }
.chart .band { fill: var(--line); opacity: .8; } .chart .interval { fill: var(--accent); opacity: .45; }
.chart .mean { fill: var(--accent); stroke: var(--paper); stroke-width: 2; }
.pair { margin: 0 0 1rem; padding: .8rem; background: var(--soft); border-radius: .5rem; break-inside: avoid; }
.clips { display: grid; gap: .8rem; margin: .6rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
figure { margin: 0; min-width: 0; } audio { display: block; width: 100%; height: 2.4rem; margin-top: .3rem; }
.mel { position: relative; height: 5.5rem; } .mel img { width: 100%; height: 100%; border-radius: .25rem; }
.mel svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.mel path { fill: none; stroke: #6ff; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
img { max-width: 100%; }
details { border-top: 1px solid var(--line); } details:last-of-type { border-bottom: 1px solid var(--line); }
summary { padding: .5rem 0; cursor: pointer; font-weight: 600; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; margin-bottom: .6rem;
  overflow-wrap: normal; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { min-width: 6.5rem; } th small { display: block; font-size: 1em; font-weight: 400; }
td { font-variant-numeric: tabular-nums; }
@media print {
  body { max-width: none; font-size: 10pt; } audio { display: none; } .scroll { overflow: visible; }
  table { width: 100%; font-size: 7pt; } th { min-width: 0; } .dim { font-size: .8em; }
  .pair { border: 1px solid var(--line); } .clips { grid-template-columns: repeat(3, 1fr); } .mel { height: 3.5rem; }
  details::details-content { content-visibility: visible; block-size: auto; } summary { list-style: none; }
  summary, h2, h3 { break-after: avoid; }
}
"""
# ::details-content opens every fold on paper without a script (Chrome 131, Safari 18.4, Firefox 143 and later).


def page(report: Report, evaluation: Evaluation) -> str:
    """The whole report as HTML.

    Args:
        report: of the evaluation.
        evaluation: for pictures and sound.
    """
    about = report["about"]
    what = f"{about.get('model', about.get('converted', 'voice conversion'))} on {about.get('corpus', 'a corpus')}"
    body = "\n".join(_body(report, evaluation))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation: {escape(what)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n<h1>Evaluation: {escape(what)}</h1>\n{body}\n</body></html>\n"
    )


def _body(report: Report, evaluation: Evaluation) -> Iterator[str]:
    yield f'<p class="verdict">{_text(verdict(report))}</p>'
    if drawn := chart(report):
        yield f"<h2>Between floor and ceiling</h2>{drawn}"
        yield (
            '<p class="dim">Each line leads from a floor on the left to a ceiling on the right; further right is '
            "better. The dot is the mean of the conversions, the bar its 95&nbsp;% interval; pale bands are those of "
            "floor and ceiling.</p>"
        )
    if (short := headlines(report)).rows:
        yield _fold("The same in numbers, and what it means", _table(short))
    yield "<h2>Listen</h2>"
    yield from _listen(report, evaluation)
    yield "<h2>All figures</h2>" + _fold("What the rows are", _list(row_meanings(report)))
    for table in tables(report):
        yield _fold(table.title, _table(table))
    for title, picture in {
        "Map of the voices": embedding_map(evaluation),
        "Conversions beside every speaker": similarity_matrix(evaluation),
    }.items():
        if picture:
            yield _fold(title, f'<img alt="{title}" src="{picture}">')
    yield "<h2>Notes</h2>" + _list(notes(report) or ["All judges spoke on all pairs."])
    if report["excluded"]:
        excluded = excluded_table(report)
        yield _fold(excluded.title, _table(excluded))
    yield _fold("How it was measured", _list(report["protocol"]))
    facts = Table("", [("", ""), ("", "")], [list(each) for each in settings(report)], [])
    yield "<h2>Settings and fingerprints</h2>" + _fold("To make the same report again", _table(facts))


def _listen(report: Report, evaluation: Evaluation) -> Iterator[str]:
    shown, more = (
        [card for title, pair in each.items() if (card := _card(title, pair, report, evaluation))]
        for each in examples(report)
    )
    if not shown and not more:
        yield "<p>No conversion could be made.</p>"
        return
    yield (
        '<p class="dim">Ranked by the mean of their places in likeness, words and sound. The picture is the mel; '
        "the line in it is the pitch, 50 to 500 Hz.</p>"
    )
    yield from shown
    if more:
        yield _fold(f"{len(more)} more, evenly over the ranking", "".join(more))


def _card(title: str, pair: Mapping[str, Any], report: Report, evaluation: Evaluation) -> str:
    """One pair: what it scored, its three clips, and what was heard in them; empty if it was not converted."""
    clips = next(each for each in evaluation.pairs if each.name == pair["name"])
    if row_key("conversion", clips) not in evaluation.waves:
        return ""
    values = pair["rows"].get("conversion", {})
    said = [
        f"{label(report, name)}: {FIGURES[name].of_one_pair(values[name])}"
        for name in LEADING
        if name in values
    ]
    players = "".join(_player(*each, evaluation) for each in _clips(pair, clips, evaluation))
    heard = "".join(
        f"<p><small>heard in the {escape(row)}:</small> {escape(text) or '(nothing)'}</p>"
        for row, text in pair["transcripts"].items()
    )
    names = f"{pair['name']}: {pair['source_speaker']} as {pair['target_speaker']}"
    return (
        f'<article class="pair"><h3>{escape(title)}</h3><p>{escape(names)}</p>'
        f'<div class="clips">{players}</div>{heard}<p class="dim">{_text("; ".join(said))}</p></article>'
    )


def _clips(
    pair: Mapping[str, Any], clips: Pair, evaluation: Evaluation
) -> Iterator[tuple[str, str, str, Wav | str]]:
    """Words, file, key of the measurements and sound of each clip to hear, or why it cannot be heard."""
    for words, clip, name in (
        ("source", clips.source, pair["source"]),
        ("reference given", clips.references[0], pair["references"][0]),
    ):
        yield words, name, str(clip.path), _read(clip.path)
    key = row_key("conversion", clips)
    yield "conversion", "", key, evaluation.waves[key].wav


def _read(path: Path) -> Wav | str:
    try:
        return audio_io.load(path, SAMPLE_RATE).wav
    except FILE_ERRORS as error:
        return reason(error)


def _player(words: str, name: str, key: str, sound: Wav | str, evaluation: Evaluation) -> str:
    caption = f"<figcaption>{escape(words)}</figcaption>"
    file = f"<small>{escape(name)}</small>"
    if isinstance(sound, str):
        return f"<figure>{caption}<p>{escape(sound)}</p>{file}</figure>"
    encoded = io.BytesIO()
    soundfile.write(encoded, sound, SAMPLE_RATE, format="MP3")
    address = "data:audio/mpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
    pitch = evaluation.measurements.get(key, {}).get("pitch")
    path = melody_path(pitch["f0"], len(sound) / SAMPLE_RATE) if isinstance(pitch, dict) else ""
    melody = f'<svg viewBox="0 0 100 100" preserveAspectRatio="none"><path d="{path}"/></svg>'
    return (
        f'<figure>{caption}<div class="mel"><img alt="mel" src="{mel_picture(sound)}">{melody}</div>'
        f'<audio controls preload="none" src="{address}"></audio>{file}</figure>'
    )


def _text(text: str) -> str:
    """Escaped text in which a number and its per cent sign stay on one line."""
    return escape(text).replace(" %", "&nbsp;%")


def _fold(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _table(table: Table) -> str:
    """A table that scrolls by itself where the page is narrow, and its legend."""
    heads = "".join(
        f"<th>{escape(words)}{f'<small>{escape(unit)}</small>' if unit else ''}</th>"
        for words, unit in table.head
    )
    head = f"<tr>{heads}</tr>" if any(words for words, _ in table.head) else ""
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    legend = f'<div class="dim">{_list(table.legend)}</div>' if table.legend else ""
    return f'<div class="scroll"><table>{head}{rows}</table></div>{legend}'
