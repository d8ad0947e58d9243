"""The page that people read: what opens it, what can be heard, what it does at the width of a phone."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import soundfile

from tests.evaluation.reporting.report_samples import RATE, evaluated, rows, ten_pairs
from voiceae.evaluation.evaluation import Exclusion
from voiceae.evaluation.reporting.page import STYLE, page
from voiceae.evaluation.reporting.summary import verdict

VOID = {"meta", "img", "rect", "line", "circle", "path", "br"}
PHONE = 360  # px


class Tree(HTMLParser):
    """Elements with the classes and tags that they are in, texts by their enclosing tags; every tag must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.elements: list[tuple[str, dict[str, str | None], list[tuple[str, str]]]] = []
        self.texts: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()
        assert self.open == [], "every element ends"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found, list(self.open)))
        if tag not in VOID:
            self.open.append((tag, found.get("class") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), list(self.open)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((data.replace("\xa0", " "), [tag for tag, _ in self.open]))

    def within(self, tag: str) -> list[str]:
        return [text for text, around in self.texts if around and around[-1] == tag]


def test_it_opens_with_the_verdict_and_ends_with_the_settings(tmp_path: Path) -> None:
    report, evaluation = evaluated(tmp_path, ten_pairs())
    tree = Tree(page(report, evaluation))
    shown = [
        text for text, around in tree.texts if text.strip() and "style" not in around and "head" not in around
    ]
    assert shown[:2] == ["Evaluation: tested on tones", verdict(report)]
    assert tree.within("h2") == [
        *("Between floor and ceiling", "Listen", "All figures", "Notes", "Settings and fingerprints"),
    ]
    assert tree.within("h3")[:3] == ["Best: place 1 of 10", "Middle: place 5 of 10", "Worst: place 10 of 10"]
    assert "sim_target" not in "".join(text for text, _ in tree.texts)


def test_the_figures_are_the_reports(tmp_path: Path) -> None:
    """Other pairs, other numbers: nothing of them is written into the page."""
    texts = []
    for likeness in (0.62, 0.78):
        report, evaluation = evaluated(
            tmp_path, {"a": rows(likeness, 0.4, 3.0), "b": rows(likeness, 0.3, 3.2)}
        )
        texts.append(" ".join(text for text, _ in Tree(page(report, evaluation)).texts))
        assert verdict(report) in texts[-1]
    assert "0.62" in texts[0] and "0.62" not in texts[1]
    assert "0.78" in texts[1] and "0.78" not in texts[0]
    assert "passes for the target: no" in texts[0] and "passes for the target: yes" in texts[1]


def test_source_reference_and_conversion_can_be_heard(tmp_path: Path) -> None:
    report, evaluation = evaluated(tmp_path, {"a": rows(0.7, 0.4, 3.0)})
    tree = Tree(page(report, evaluation))
    assert tree.within("figcaption") == ["source", "reference given", "conversion"]
    addresses = [found["src"] or "" for tag, found, _ in tree.elements if tag == "audio"]
    assert len(addresses) == 3
    for address in addresses:
        sound = io.BytesIO(base64.b64decode(address.removeprefix("data:audio/mpeg;base64,")))
        assert soundfile.info(sound).samplerate == RATE
    links = [found.get(key) or "" for _, found, _ in tree.elements for key in ("src", "href")]
    assert all(link.startswith("data:") for link in links if link)
    assert not any(tag in ("script", "link") for tag, _, _ in tree.elements)


def test_names_with_quotes_and_brackets_are_text(tmp_path: Path) -> None:
    name = """it's "one" <b onload=x> & more.wav"""
    bad = Exclusion("<i>pair</i>", f"{name}: is silent", "speaker")
    report, evaluation = evaluated(
        tmp_path,
        {"<script>a": rows(0.7, 0.4, 3.0)},
        name,
        excluded=[bad],
        about={"model": "<x>", "corpus": '"c"'},
    )
    tree = Tree(page(report, evaluation))
    assert f"anna/{name}" in tree.within("small")
    assert "<script>a: anna as bert" in tree.within("p")
    assert {f"{name}: is silent", "<i>pair</i>"} <= set(tree.within("td"))
    assert tree.within("title")[0] == 'Evaluation: <x> on "c"'
    assert not {"b", "i", "x", "script"} & {tag for tag, _, _ in tree.elements}


@pytest.mark.parametrize("n", [1, 2])
def test_few_pairs_and_figures_that_are_no_numbers_make_a_page(tmp_path: Path, n: int) -> None:
    values = {f"p{i}": rows(math.nan, 0.4, 3.0) for i in range(n)}
    report, evaluation = evaluated(tmp_path, values, missing={"mcd": "scorer mcd: not installed"})
    tree = Tree(page(report, evaluation))
    assert len([tag for tag, _, _ in tree.elements if tag == "audio"]) == 3 * n
    assert "No figures of scorer mcd: not installed" in tree.within("li")
    assert not any("nan" in text.lower() for text, around in tree.texts if "style" not in around)


def test_without_judges_the_conversions_are_there_to_hear(tmp_path: Path) -> None:
    report, evaluation = evaluated(tmp_path, {"a": {"conversion": {}}, "b": {}})
    tree = Tree(page(report, evaluation))
    assert tree.within("h3") == ["Pair a"]
    assert "No conversion was judged; the notes say why." in tree.within("p")
    nothing = Tree(page(*evaluated(tmp_path, {"a": {}})))
    assert "No conversion could be made." in nothing.within("p")


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    report, evaluation = evaluated(tmp_path, {"a": rows(0.7, 0.4, 3.0)})
    evaluation.pairs[0].references[0].path.unlink()
    tree = Tree(page(report, evaluation))
    assert len([tag for tag, _, _ in tree.elements if tag == "audio"]) == 2
    assert any("no such file" in text for text in tree.within("p"))


def rules(style: str) -> Iterator[tuple[str, str]]:
    """Selector and declarations of every rule, those of media left out."""
    flat = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", style)
    yield from ((selector.strip(), body) for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", flat))


def test_nothing_is_wider_than_a_phone(tmp_path: Path) -> None:
    report, evaluation = evaluated(tmp_path, ten_pairs())
    tree = Tree(page(report, evaluation))
    viewport = next(found for tag, found, _ in tree.elements if found.get("name") == "viewport")
    assert "width=device-width" in (viewport["content"] or "")
    for tag, found, around in tree.elements:
        # Tables scroll by themselves; everything else takes the width that there is.
        assert tag != "table" or around[-1] == ("div", "scroll")
        width = found.get("width") or "100%"
        assert width.endswith("%") and float(width[:-1]) <= 100, (tag, found)
        assert not found.get("style")
    styles = dict(rules(STYLE))
    assert "overflow-x: auto" in styles[".scroll"]
    assert "max-width: 100%" in styles["img"]
    assert "overflow-wrap: anywhere" in styles["body"]
    for selector, body in styles.items():
        for name, number, unit in re.findall(r"(?<![-\w])((?:min-)?width):\s*([\d.]+)(px|r?em)", body):
            pixels = float(number) * (1 if unit == "px" else 16)
            assert selector == "th" or pixels < PHONE / 2, f"{selector}: {name}"
        assert "nowrap" not in body
    columns = re.search(r"minmax\(([^,]+,[^,]+), 1fr\)", styles[".clips"])
    assert columns and columns.group(1).startswith("min(100%"), (
        "one clip below the other where they do not fit"
    )


def test_it_is_made_for_dark_rooms_and_for_paper() -> None:
    dark = STYLE[STYLE.index("prefers-color-scheme: dark") :]
    light_names = set(re.findall(r"(--\w+):", STYLE[: STYLE.index("@media")]))
    assert light_names == set(re.findall(r"(--\w+):", dark[: dark.index("} }")])), (
        "each colour has its dark one"
    )
    paper = STYLE[STYLE.index("@media print") :]
    assert "details::details-content { content-visibility: visible" in paper
    assert ".scroll { overflow: visible; }" in paper
