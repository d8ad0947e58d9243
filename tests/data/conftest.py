"""Small corpora written on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.data.folders import OPTIONS
from voiceae.data.prepare import prepare

WriteVoice = Callable[..., Path]


@pytest.fixture(scope="session")
def write_voice() -> WriteVoice:
    """Function that writes a second of buzz with 0.3 s of near silence around it."""

    def write(
        path: Path, *, seconds: float = 1.0, rate: int = 16000, seed: int = 0, pitch: float = 120.0
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        time = np.arange(round(seconds * rate)) / rate
        buzz = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 30))
        edge = np.zeros(round(0.3 * rate))
        wav = np.concatenate([edge, 0.1 * buzz, edge])
        wav += 1e-4 * rng.standard_normal(len(wav))
        options = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
        soundfile.write(path, wav, rate, **options)
        return path

    return write


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory, write_voice: WriteVoice) -> Path:
    """Eight speakers with twenty short utterances each, and three files that cannot be used."""
    root = tmp_path_factory.mktemp("small")
    for speaker in range(8):
        for utterance in range(20):
            name = f"sp{speaker}/u{utterance:02d}.flac"
            write_voice(root / name, seed=speaker * 100 + utterance, pitch=90.0 + 20 * speaker, seconds=0.8)
    (root / "sp0/text.wav").write_bytes(b"not audio at all")
    soundfile.write(root / "sp1/silent.wav", np.zeros(16000), 16000)
    whole = (root / "sp2/u00.flac").read_bytes()
    (root / "sp2/cut.flac").write_bytes(whole[: len(whole) // 2])
    return root


@pytest.fixture(scope="session")
def odd_vctk(tmp_path_factory: pytest.TempPathFactory, write_voice: WriteVoice) -> Path:
    """VCTK's layout at 48 kHz with the quirks of p280, p315 and p362 as published."""
    root = tmp_path_factory.mktemp("vctk")
    audio = root / "wav48_silence_trimmed"
    for speaker in ("p225", "p226", "p280", "p315", "p362", "s5", "p999"):
        for utterance in ("001", "002"):
            for mic in ("mic1", "mic2"):
                write_voice(audio / speaker / f"{speaker}_{utterance}_{mic}.flac", rate=48000, seconds=0.7)
            text = root / "txt" / speaker / f"{speaker}_{utterance}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("Please call  Stella.\n")
    for path in [*audio.glob("p280/*_mic2.flac"), *audio.glob("p315/*_mic2.flac")]:
        path.unlink()  # their second microphone failed
    (audio / "p226/p226_002_mic1.flac").unlink()
    for path in (root / "txt/p315").iterdir():
        path.unlink()  # its texts were lost
    (root / "txt/p315").rmdir()
    (root / "txt/p362/p362_003.txt").write_text("A text without audio.\n")
    (audio / "log.txt").write_text("not audio\n")
    (audio / "p225/._p225_001_mic1.flac").write_bytes(b"left by another file system")
    (root / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
        "p225  23  F    English    Southern  England\n"
        "p226  22  M    English    Surrey\n"
        "p280  25  F    French     (mic2 files unavailable)\n"
        "p315  18  M    American   New England (text and mic2 files unavailable)\n"
        "p362  29  F    American\n"
        "p376  22  M    Indian     nowhere on the disk\n"
        "s5    F    British\n"
    )
    return root


@pytest.fixture(scope="session")
def store(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus, prepared by one process."""
    out = tmp_path_factory.mktemp("prepared") / "store"
    prepare("folder", small_corpus, out, options=OPTIONS, jobs=1)
    return out
