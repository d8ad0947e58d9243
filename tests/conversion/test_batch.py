from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion import batch
from voiceae.conversion.batch import (
    BatchFolders,
    PairConverter,
    PairRow,
    duplicate_results,
    require_out,
    result_path,
)
from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError, OutputError
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    for name in ("a b.wav", "c.wav", "d.wav"):
        audio_io.write(tmp_path / "in" / name, Audio(rng.uniform(-0.3, 0.3, 16000).astype(np.float32), 16000))
    return tmp_path / "in"


def listened(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Targets that were really heard, as they are heard."""
    profile: list[str] = []
    listen = voice.profile
    monkeypatch.setattr(voice, "profile", lambda target: (profile.append(target), listen(target))[1])
    return profile


def test_a_target_is_heard_once(
    tiny_voice: Voice, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = listened(tiny_voice, monkeypatch)
    converter = PairConverter(tiny_voice, BatchFolders(root=root, out_dir=tmp_path / "out"))
    assert not any(converter.attempt(PairRow(n, "a b.wav", ("c.wav",), f"{n}.wav")) for n in (1, 2, 3))
    assert profile.count(str(root / "c.wav")) == 1


def test_only_the_latest_targets_are_kept(
    tiny_voice: Voice, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PROFILES_KEPT", 2)
    profile = listened(tiny_voice, monkeypatch)
    converter = PairConverter(tiny_voice, BatchFolders(root=root, out_dir=tmp_path / "out"))
    for number, target in enumerate(("c.wav", "d.wav", "c.wav", "a b.wav", "c.wav", "d.wav")):
        assert converter.attempt(PairRow(number, "c.wav", (target,), f"{number}.wav")) is None
    names = [Path(each).name for each in profile if isinstance(each, str)]
    assert names == ["c.wav", "d.wav", "a b.wav", "d.wav"]
    assert converter._profile.cache_info().currsize == 2


def test_existing_results_stay(tiny_voice: Voice, root: Path, tmp_path: Path) -> None:
    (tmp_path / "1.wav").write_text("precious")
    pair = PairRow(2, "a b.wav", ("c.wav",), "1.wav")
    failure = PairConverter(tiny_voice, BatchFolders(root=root, out_dir=tmp_path)).attempt(pair)
    assert failure is not None and failure.where == "line 2" and "--force" in failure.reason
    assert (tmp_path / "1.wav").read_text() == "precious"
    assert (
        PairConverter(tiny_voice, BatchFolders(root=root, out_dir=tmp_path, force=True)).attempt(pair) is None
    )


def test_results_stay_in_their_folder(tmp_path: Path) -> None:
    folders = BatchFolders(root=tmp_path, out_dir=tmp_path / "out")
    assert result_path(PairRow(1, "a", ("b",), "sub/1.wav"), folders) == tmp_path / "out/sub/1.wav"
    for out in ("../1.wav", "/1.wav", "sub/../../1.wav"):
        with pytest.raises(OutputError, match="leaves the output folder"):
            result_path(PairRow(1, "a", ("b",), out), folders)
    for row in (("", ("b",), "1.wav"), ("a", (), "1.wav"), ("a", ("b",), "")):
        with pytest.raises(AudioError, match="empty cell"):
            result_path(PairRow(1, *row), folders)


def test_names_given_twice_are_known_beforehand(tmp_path: Path) -> None:
    outs = ["1.wav", "sub/1.wav", "./1.wav", "", "", "sub//1.wav"]
    pairs = [PairRow(line, "a", ("b",), out) for line, out in enumerate(outs, 2)]
    found = duplicate_results(pairs, BatchFolders(root=tmp_path, out_dir=tmp_path))
    assert {place: failure.where for place, failure in found.items()} == {2: "line 4", 5: "line 7"}


def test_out_suffixes(tmp_path: Path) -> None:
    require_out(tmp_path / "a.FLAC", False)
    with pytest.raises(Exception, match="a file without suffix"):
        require_out(tmp_path / "a", False)
