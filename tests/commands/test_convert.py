from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.commands.conftest import Run
from tests.tiny import full_disk
from voiceae import cli
from voiceae.io import audio as audio_io


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def convert(run: Run, tiny_model: Path) -> Run:
    return lambda *arguments: run("convert", "--model", tiny_model, "--vocoder", "griffinlim", *arguments)


def test_one_source_one_target(convert: Run, clips: Path) -> None:
    assert convert(
        clips / "anna/1.wav", "--target", clips / "bert ö/1.wav", "--out", "new folder/ü 1.wav"
    ) == (0, "")
    assert audio_io.read("new folder/ü 1.wav").seconds == pytest.approx(1, abs=256 / 22050)
    assert soundfile.info("new folder/ü 1.wav").subtype == "PCM_16"


def test_several_targets_and_stored_ones(convert: Run, run: Run, clips: Path, tiny_model: Path) -> None:
    source, one, two = clips / "anna/1.wav", clips / "anna/2.flac", clips / "bert ö/1.wav"
    assert convert(source, "--target", one, "--target", two, "--out", "a.wav")[0] == 0
    assert run("embed", clips, "--model", tiny_model, "--out", "s.npz") == (0, "")
    stored = [f"s.npz:{path}" for path in (one, two)]
    assert convert(source, "--target", stored[0], "--target", stored[1], "--out", "b.wav") == (0, "")
    np.testing.assert_allclose(audio_io.read("a.wav").wav, audio_io.read("b.wav").wav, atol=2e-3)
    assert convert(source, "--target", "s.npz:bert ö", "--out", "c.flac") == (0, "")


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"), [(8000, 1, 0.5), (96000, 2, 0.7), (44100, 6, 0.3), (16000, 1, 0.1)]
)
def test_odd_but_valid(
    convert: Run, clips: Path, capsys: pytest.CaptureFixture[str], rate: int, channels: int, seconds: float
) -> None:
    wav = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))
    soundfile.write("odd näme.wav", wav, rate, subtype="FLOAT")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = cli._show_warning
        code, said = convert("odd näme.wav", "--target", clips / "anna/1.wav", "--out", "o.wav")
    assert code == 0
    others = [
        line for line in said.splitlines() if "a poor reference: noise" not in line
    ]  # the target is noise
    assert len(said.splitlines()) == len(others) + 1
    assert len(others) == sum("8000 Hz" in line for line in others) == (rate == 8000)
    assert audio_io.read("o.wav").seconds == pytest.approx(seconds, abs=256 / 22050)


def spoil(folder: Path, kind: str) -> Path:
    """A file that cannot be used."""
    path = folder / f"{kind}.wav"
    speech = 0.1 * np.random.default_rng(0).standard_normal(16000)
    waves = {
        "silent": 0 * speech,
        "nan": speech * np.nan,
        "inf": speech / 0.0,
        "short": speech[:1000],
        "empty": speech[:0],
    }
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("this is not audio, though it is long enough to look at " * 20)
    elif kind == "zero":
        path.touch()
    elif kind == "truncated":
        soundfile.write(path, speech, 16000)
        path.write_bytes(path.read_bytes()[:9000])
    elif kind != "missing":
        soundfile.write(path, waves[kind], 16000, subtype="FLOAT")
    return path


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize(
    "kind", ["missing", "folder", "text", "zero", "truncated", "silent", "nan", "inf", "short", "empty"]
)
def test_bad_audio_is_one_line_and_leaves_nothing(
    convert: Run, clips: Path, tmp_path: Path, kind: str
) -> None:
    bad, good = spoil(tmp_path, kind), clips / "anna/1.wav"
    before = files(tmp_path)
    for source, target in ((bad, good), (good, bad)):
        if source.is_dir():  # is converted whole, and then --out is the wrong option
            continue
        code, said = convert(source, "--target", target, "--out", "out/o.wav")
        assert code == 1 and said.startswith(f"voiceae: error: {bad}: ") and said.count("\n") == 0
    assert files(tmp_path) == before


def test_existing_output_needs_force(convert: Run, clips: Path) -> None:
    arguments = (clips / "anna/1.wav", "--target", clips / "anna/2.flac", "--out", "o.wav")
    Path("o.wav").write_text("precious")
    code, said = convert(*arguments)
    assert code == 1 and "--force" in said and Path("o.wav").read_text() == "precious"
    assert convert(*arguments, "--force") == (0, "")
    assert audio_io.read("o.wav").seconds == pytest.approx(1, abs=0.02)


def test_full_disk_keeps_the_old_file(convert: Run, clips: Path, tmp_path: Path) -> None:
    Path("o.wav").write_text("precious")
    before = files(tmp_path)
    with full_disk(20_000):
        code, said = convert(
            clips / "anna/1.wav", "--target", clips / "anna/2.flac", "--out", "o.wav", "--force"
        )
    assert code == 1 and said.startswith("voiceae: error: o.wav: cannot be written: ")
    assert files(tmp_path) == before and Path("o.wav").read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model", "nobody"], "no such model"),
        (["--model", "cut.safetensors"], "truncated"),
        (["--vocoder", "nobody"], "no such vocoder"),
        (["--device", "abacus"], "device"),
        (["--out", "o.doc"], "cannot write .doc"),
    ],
)
def test_bad_parts(
    convert: Run, clips: Path, tiny_model: Path, tmp_path: Path, options: list[str], reason: str
) -> None:
    (tmp_path / "cut.safetensors").write_bytes(tiny_model.read_bytes()[:-99])
    before = files(tmp_path)
    code, said = convert(clips / "anna/1.wav", "--target", clips / "anna/2.flac", "--out", "o.wav", *options)
    assert code == 1 and reason in said and said.count("\n") == 0
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.wav"],
        ["a.wav", "--target", "b.wav"],
        ["a.wav", "--out", "o.wav"],
        ["a.wav", "--pairs", "p.csv", "--out-dir", "o"],
        ["--pairs", "p.csv", "--out-dir", "o", "--target", "b.wav"],
        ["--pairs", "p.csv", "--out", "o.wav", "--out-dir", "o"],
        ["--pairs", "p.csv"],
        ["a.wav", "--target", "b.wav", "--out", "o.wav", "--root", "r"],
        ["a.wav", "--target", "b.wav", "--out", "o.wav", "--jobs", "2"],
        [".", "--target", "b.wav", "--out", "o.wav"],
        [".", "--target", "b.wav"],
        [".", "--out-dir", "o"],
    ],
)
def test_modes_exclude_each_other(convert: Run, arguments: list[str]) -> None:
    assert convert(*arguments)[0] == 2


def test_table_goes_on_past_bad_rows(convert: Run, clips: Path) -> None:
    Path("p.csv").write_text(
        "n,source,target,out\n1,anna/1.wav,bert ö/1.wav;anna/2.flac,1.wav\n2,none.wav,anna/1.wav,2.wav\n"
        "3,anna/2.flac,bert ö/1.wav,deep/3.flac\n",
        encoding="utf-8",
    )
    code, said = convert("--pairs", "p.csv", "--root", clips, "--out-dir", "out")
    first, last = said.splitlines()
    assert code == 1 and files(Path("out")) == {"1.wav", "deep/3.flac"}
    assert first.startswith(f"voiceae: line 3: {clips / 'none.wav'}: no such file")
    assert last == "voiceae: error: 1 of 3 pairs could not be used"


def test_root_is_the_tables_folder(convert: Run, clips: Path) -> None:
    (clips / "p.csv").write_text("source,target,out\nanna/1.wav,anna/2.flac,1.wav\n")
    assert convert("--pairs", clips / "p.csv", "--out-dir", "out") == (0, "")
    assert convert("--pairs", "none.csv", "--out-dir", "out")[0] == 1


def test_a_folder_keeps_its_names(convert: Run, clips: Path, tmp_path: Path) -> None:
    (clips / "anna/3.wav").write_text("not audio")
    target, out = clips / "bert ö/1.wav", clips / "results"
    code, said = convert(clips, "--target", target, "--out-dir", out)
    first, last = said.splitlines()
    assert code == 1 and first.startswith(f"voiceae: anna/3.wav: {clips / 'anna/3.wav'}: ")
    assert last == "voiceae: error: 1 of 4 files could not be used"
    assert files(out) == {"anna/1.wav", "anna/2.flac", "bert ö/1.wav"}
    assert convert(clips / "anna/1.wav", "--target", target, "--out", "one.wav") == (0, "")
    assert Path("one.wav").read_bytes() == (out / "anna/1.wav").read_bytes()
    assert convert(clips, "--target", target, "--out-dir", out, "--force", "--jobs", "1")[0] == 1
    assert len(files(out)) == 3, "results in the folder are not converted again"


def test_a_bad_target_of_a_folder_is_said_once(convert: Run, clips: Path, tmp_path: Path) -> None:
    for target, reason in (("none.wav", "no such file"), ("s.npz:x", "s.npz"), (clips, "is a folder")):
        code, said = convert(clips, "--target", target, "--out-dir", "out")
        assert code == 1 and said.startswith("voiceae: error: ") and reason in said and said.count("\n") == 0
    (tmp_path / "empty").mkdir()
    code, said = convert(tmp_path / "empty", "--target", clips / "anna/1.wav", "--out-dir", "out")
    assert code == 1 and "holds no audio" in said
    assert not Path("out").exists()


def test_real_speech(convert: Run, minivctk: Path) -> None:
    first, *_, last = sorted((minivctk / "wav48_silence_trimmed").iterdir())
    source, target = sorted(first.glob("*.flac"))[1], sorted(last.glob("*.flac"))[0]
    assert convert(source, "--target", target, "--out", "o.wav") == (0, "")
    assert audio_io.read("o.wav").seconds == pytest.approx(audio_io.read(source).seconds, abs=256 / 22050)
