"""The README says what is true: its code runs, its files and commands exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import voiceae
from voiceae.cli import GROUPS
from voiceae.io import audio as audio_io

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_the_first_code_runs_and_comes_early(monkeypatch: pytest.MonkeyPatch) -> None:
    before, _, code = TEXT.partition("```python\n")
    assert before.count("\n") < 20
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(code.partition("```")[0], names)
    audio, speaker = names["audio"], names["speaker"]
    assert audio.wav.dtype == np.float32
    assert audio.wav.shape == (round(4.04 * audio.sample_rate),)
    assert np.linalg.norm(speaker) == pytest.approx(1, abs=1e-5)


def directions() -> list[tuple[str, str, str]]:
    rows = [re.findall(r"\((recipes/demo/[\w/-]+\.flac)\)", line) for line in TEXT[:2000].splitlines()]
    return [(row[0], row[1], row[2]) for row in rows if row]


def test_the_first_screen_lets_people_hear_the_directions_that_the_recipe_makes() -> None:
    recipe = runpy.run_path(str(ROOT / "recipes/demo/directions.py"))["DIRECTIONS"]
    folder = "recipes/demo/"
    assert directions() == [
        (folder + source, folder + target, f"{folder}converted/{name}.flac")
        for name, (source, target) in recipe.items()
    ]
    assert len(directions()) >= 3


@pytest.mark.parametrize("direction", directions(), ids=lambda each: Path(each[2]).stem)
def test_what_is_heard_is_the_source_in_the_voice_of_the_target(direction: tuple[str, str, str]) -> None:
    source, target, converted = direction
    voice = voiceae.load("base", "griffinlim", "cpu")
    a, b, result = (voice.embed(ROOT / name) for name in (source, target, converted))
    assert result @ b > max(a @ b, result @ a + 0.1)
    seconds = [audio_io.read(ROOT / name).seconds for name in (source, converted)]
    assert seconds[1] == pytest.approx(seconds[0], abs=0.01)
    assert all((ROOT / name).stat().st_size < 150_000 for name in direction)


def test_every_command_is_in_the_tables_by_task() -> None:
    tables = [set(re.findall(r"^\| `voiceae (\w+)", table, re.MULTILINE)) for table in TEXT.split("\n\n")]
    assert [each for each in tables if each] == [set(names) for names in GROUPS.values()]


def test_every_path_that_is_named_exists() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("recipes/*/README.md")]:
        text = page.read_text(encoding="utf-8")
        links = [page.parent / name for name in re.findall(r"\]\((?!\w+:)([^)#]+)\)", text)]
        paths = [
            ROOT / name for name in re.findall(r"\b((?:voiceae|tests|recipes|configs)/[\w./-]*\w)", text)
        ]
        missing = [str(path) for path in [*links, *paths] if not path.exists() and path.stem != "NAME"]
        assert missing == [], page


def test_the_tree_of_the_code_is_that_of_the_package() -> None:
    tree = (
        TEXT.partition("## How the code is laid out")[2].partition("    voiceae/\n")[2].partition("\n\n")[0]
    )
    names = [name for line in tree.splitlines() if line.startswith("      ") for name in line[:37].split()]
    package = {path.name + "/" * path.is_dir() for path in (ROOT / "voiceae").iterdir()}
    assert set(names) == package - {"__init__.py", "__main__.py", "__pycache__/", "assets/", "py.typed"}


def test_nothing_is_left_to_be_filled_in() -> None:
    texts = [TEXT, (ROOT / "voiceae" / "assets" / "README.md").read_text()]
    assert [word for text in texts for word in re.findall(r"\b(?:TODO|FIXME|TBD)\b.*", text)] == []
    named = re.findall(r"voiceae/assets/[\w.-]+", TEXT)
    assert named and [name for name in named if not (ROOT / name).is_file()] == []


def test_the_bundled_model_is_small_and_says_where_it_comes_from() -> None:
    from voiceae.io import modelfile

    path = ROOT / "voiceae" / "assets" / "base.safetensors"
    assert path.stat().st_size <= 14_000_000
    header = modelfile.read_header(path)
    assert [leg["steps"] for leg in header.extra["legs"]] == [4500, 560, 2600, 480, 2200, 2000]


def test_the_bundled_vocoder_is_small_and_the_default() -> None:
    from voiceae.assets import find_vocoder
    from voiceae.io import modelfile
    from voiceae.specs import AudioSpec

    path = Path(find_vocoder("default", AudioSpec()))
    assert path.name == "vocoder.safetensors" and path.stat().st_size <= 8_000_000
    assert [leg["steps"] for leg in modelfile.read_header(path).extra["legs"]] == [3600, 1000]
