from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.audio import io
from voiceae.audio.io import Audio
from voiceae.data.pairs import PairRow
from voiceae.inference.batch import PairConverter, convert_pairs, require_out
from voiceae.inference.voice import Voice


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    for name in ("a b.wav", "é.wav", "c.wav"):
        io.write(tmp_path / "in" / name, Audio(rng.uniform(-0.3, 0.3, 16000).astype(np.float32), 16000))
    return tmp_path / "in"


def test_bad_rows_are_passed_over(tiny_voice: Voice, root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = [
        ("a b.wav", ("é.wav", "c.wav"), "sub/1.wav"),
        ("missing.wav", ("c.wav",), "2.wav"),
        ("a b.wav", ("missing.wav",), "3.wav"),
        ("a b.wav", ("c.wav",), "../4.wav"),
        ("a b.wav", ("c.wav",), "sub/1.wav"),
        ("a b.wav", ("c.wav",), "6.txt"),
        ("a b.wav", (), "7.wav"),
        ("a b.wav", ("c.wav",), "8.flac"),
    ]
    pairs = [PairRow(line, *row) for line, row in enumerate(rows, 1)]
    failures = convert_pairs(PairConverter(tiny_voice, root, out, force=True), pairs)
    assert [failure.where for failure in failures] == [f"line {line}" for line in (2, 3, 4, 5, 6, 7)]
    reasons = [
        "no such file",
        "no such file",
        "leaves the output folder",
        "earlier row",
        "cannot write",
        "empty cell",
    ]
    assert all(wanted in failure.reason for wanted, failure in zip(reasons, failures, strict=True))
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file() and out in path.parents) == [
        "1.wav",
        "8.flac",
    ]
    expected = tiny_voice.convert(root / "a b.wav", [root / "é.wav", root / "c.wav"]).wav
    np.testing.assert_allclose(io.read(out / "sub/1.wav").wav, expected, atol=1 / 32000)


def test_a_target_is_heard_once(
    tiny_voice: Voice, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    listen = tiny_voice.listen
    monkeypatch.setattr(tiny_voice, "listen", lambda target: (heard.append(target), listen(target))[1])
    pairs = [PairRow(line, "a b.wav", ("c.wav",), f"{line}.wav") for line in (1, 2, 3)]
    assert not convert_pairs(PairConverter(tiny_voice, root, tmp_path / "out"), pairs)
    assert heard.count(str(root / "c.wav")) == 1


def test_existing_results_stay(tiny_voice: Voice, root: Path, tmp_path: Path) -> None:
    (tmp_path / "1.wav").write_text("precious")
    pairs = [PairRow(2, "a b.wav", ("c.wav",), "1.wav")]
    (failure,) = convert_pairs(PairConverter(tiny_voice, root, tmp_path), pairs)
    assert "--force" in failure.reason and (tmp_path / "1.wav").read_text() == "precious"
    assert not convert_pairs(PairConverter(tiny_voice, root, tmp_path, force=True), pairs)


def test_out_suffixes(tmp_path: Path) -> None:
    require_out(tmp_path / "a.FLAC", False)
    with pytest.raises(Exception, match="a file without suffix"):
        require_out(tmp_path / "a", False)
