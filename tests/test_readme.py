"""The README says what is true: its code runs, its files and commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from voiceae.cli import COMMANDS

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


def test_every_command_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `voiceae (\w+)", TEXT, re.MULTILINE)) == set(COMMANDS)


def test_every_script_and_picture_exists() -> None:
    named = re.findall(r"\b(?:bash |\()((?:recipes|tests)/[\w./]+)", TEXT)
    assert len(named) > 3
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_nothing_is_left_to_be_filled_in() -> None:
    texts = [TEXT, (ROOT / "voiceae" / "assets" / "README.md").read_text()]
    assert [word for text in texts for word in re.findall(r"\b(?:TODO|FIXME|TBD)\b.*", text)] == []
    named = re.findall(r"voiceae/assets/[\w.-]+", TEXT)
    assert named and [name for name in named if not (ROOT / name).is_file()] == []


def test_the_bundled_model_is_small_and_says_where_it_comes_from() -> None:
    from voiceae.io import modelfile

    path = ROOT / "voiceae" / "assets" / "base.safetensors"
    assert path.stat().st_size <= 12_000_000
    header = modelfile.read_header(path)
    assert [leg["steps"] for leg in header.extra["legs"]] == [4500, 560, 2600, 480]


def test_the_bundled_vocoder_is_small_and_the_default() -> None:
    from voiceae.assets import find_vocoder
    from voiceae.io import modelfile
    from voiceae.specs import AudioSpec

    path = Path(find_vocoder("default", AudioSpec()))
    assert path.name == "vocoder.safetensors" and path.stat().st_size <= 8_000_000
    assert [leg["steps"] for leg in modelfile.read_header(path).extra["legs"]] == [3600, 1000]
