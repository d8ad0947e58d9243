from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.folders import contents
from voiceae.data.prepare import PrepareOptions, prepare
from voiceae.data.store import FeatureStore
from voiceae.errors import OutputError, StoreError
from voiceae.specs import AudioSpec


@pytest.mark.parametrize(
    ("changes", "spec", "message"),
    [
        ({"seed": 5}, AudioSpec(), r"another seed \(4, now 5\); use --force"),
        ({"trim": False}, AudioSpec(), r"another trim \(True, now False\); use --force"),
        ({}, AudioSpec(n_mels=64), r"another n_mels \(80, now 64\)"),
    ],
)
def test_other_options_are_refused(
    store: Path, small_corpus: Path, changes: dict[str, Any], spec: AudioSpec, message: str
) -> None:
    before = contents(store)
    values = {"valid_speakers": 2, "valid_utterances": 0.1, "seed": 4} | changes
    with pytest.raises(StoreError, match=message):
        prepare("folder", small_corpus, store, spec=spec, options=PrepareOptions(**values), jobs=1)
    assert contents(store) == before


def test_a_changed_corpus_needs_force(tmp_path: Path, write_voice: Callable[..., Path]) -> None:
    for number in range(4):
        write_voice(tmp_path / f"c/a{number % 2}/{number}.wav", seed=number)
    prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    write_voice(tmp_path / "c/a1/1.wav", seed=9, seconds=2)
    with pytest.raises(StoreError, match="another corpus; use --force"):
        prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1, force=True)
    assert FeatureStore.open(tmp_path / "s").utterances[2].seconds == pytest.approx(2.2, abs=0.1)


def test_a_foreign_folder_is_never_touched(tmp_path: Path, small_corpus: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StoreError, match="no feature store; give another --out"):
        prepare("folder", small_corpus, tmp_path, jobs=1, force=True)
    (tmp_path / "prepare.json").write_text('{"name": "another program"}')
    with pytest.raises(StoreError, match="no feature store; give another --out"):
        prepare("folder", small_corpus, tmp_path, jobs=1, force=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    with pytest.raises(StoreError, match="is a file"):
        prepare("folder", small_corpus, tmp_path / "thesis.txt", jobs=1)
    with pytest.raises(OutputError, match="cannot be written"):
        prepare("folder", small_corpus, "/proc/nowhere/store", jobs=1)


def test_a_corpus_behind_a_link(small_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(small_corpus)
    prepare("folder", tmp_path / "link", tmp_path / "s", jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    assert opened.utterances[0].path == "sp0/u00.flac" and opened.audio_path(0).is_file()
