"""The examples of recipes/latent/README.md run, in the order in which they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

import voiceae
from tests.tiny import SPEC, description
from voiceae import cli
from voiceae.io import modelfile

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "recipes" / "latent" / "README.md").read_text(encoding="utf-8")
EXAMPLES = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("voiceae ")
]
CLIPS = ROOT / "recipes" / "demo" / "clips"
ADDED = ("mix", "interpolate", "attribute", "posterior", "sample", "units", "speakers")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples name: three recordings, a folder of ten speakers with labels, and a model with units."""
    folder = tmp_path_factory.mktemp("readme")
    clips = sorted(CLIPS.glob("*.flac"))
    wavs = [voiceae_clip(clip) for clip in clips]
    for name, wav in zip("abc", wavs, strict=False):
        write(folder / f"{name}.wav", *wav)
    rows = ["speaker,gender"]
    for number, name in enumerate(("bob", *(f"s{n}" for n in range(9)))):
        wav, sample_rate = wavs[number % len(wavs)]
        rows.append(f"{name},{'mf'[number % 2]}")
        write(
            folder / f"recordings/{name}/1.wav",
            wav[number * 100 :],
            round(sample_rate * (1 + 0.03 * number)),
        )
    (folder / "recordings/speakers.csv").write_text("\n".join(rows))
    write_units_model(folder / "vq.safetensors")
    return folder


def voiceae_clip(path: Path) -> tuple[object, int]:
    """The first 1.2 s of a clip."""
    from voiceae.io import audio as audio_io

    return audio_io.load(path, 16000).wav[:19200], 16000


def write(path: Path, wav: object, sample_rate: int) -> None:
    from voiceae.io import audio as audio_io

    path.parent.mkdir(parents=True, exist_ok=True)
    audio_io.write(path, voiceae.Audio(wav, sample_rate))


def write_units_model(path: Path) -> None:
    torch.manual_seed(0)
    model = modelfile.build(description(bottleneck="vq")).eval()
    model.set_statistics(torch.full((SPEC.n_mels,), -4.0), torch.full((SPEC.n_mels,), 2.0))
    model.bottleneck.codebook.mul_(0.3)
    modelfile.save(path, model, kind="autoencoder", description=description(bottleneck="vq"), spec=SPEC)


def test_every_command_has_an_example() -> None:
    assert {words[0] for words in EXAMPLES} >= set(ADDED), "the page lacks a command"
    assert any("--add" in words for words in EXAMPLES)


@pytest.mark.parametrize("words", EXAMPLES, ids=" ".join)
def test_it_runs(words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "home"))
    monkeypatch.delenv("VOICEAE_BANK", raising=False)
    # The scorers take seconds a sample: the first example uses them, the others need not.
    scored = [each for each in EXAMPLES if each[0] == "sample"][:1]
    assert cli.run(words if words[0] != "sample" or words in scored else [*words, "--no-scorers"]) == 0
    made = [
        Path(words[place_ + 1])
        for place_, word in enumerate(words)
        if word in ("--out", "--plot", "--matrix")
    ]
    assert [path for path in made if not (path.exists() or path.with_suffix(".json").exists())] == []


def test_the_python_runs(place: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    voice = voiceae.load("base", "griffinlim", "cpu")
    names: dict[str, object] = {"voice": voice, "a": place / "a.wav", "b": place / "b.wav"}
    exec(code, names)
    assert len(names["audio"].wav) > 10000  # type: ignore[attr-defined]
    assert voice.embed(names["between"]).shape == (voice.embedding_size,)  # type: ignore[arg-type]
