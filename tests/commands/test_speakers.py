from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.commands.conftest import Run
from voiceae.io import audio as audio_io


@pytest.fixture
def speakers(run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("VOICEAE_BANK", str(tmp_path / "bank.npz"))
    return lambda action, *arguments: run("speakers", action, "--model", tiny_model, *arguments)


def test_a_name_converts_as_its_clips_do(speakers: Run, run: Run, tiny_model: Path, clips: Path) -> None:
    one, two, other = clips / "anna/1.wav", clips / "anna/2.flac", clips / "bert ö/1.wav"
    assert speakers("add", "anna", clips / "anna") == (0, "")
    convert = ["convert", other, "--model", tiny_model, "--vocoder", "griffinlim"]
    assert run(*convert, "--target", "anna", "--out", "bank.wav") == (0, "")
    assert run(*convert, "--target", one, "--target", two, "--out", "clips.wav") == (0, "")
    waves = [audio_io.load(name, 22050).wav for name in ("bank.wav", "clips.wav")]
    np.testing.assert_allclose(waves[0], waves[1], atol=1e-3)
    code, said = run(*convert, "--target", "ana", "--out", "x.wav")
    assert code == 1 and "no such speaker in the bank" in said and said.endswith("did you mean anna?")


def test_list_export_remove(
    speakers: Run, clips: Path, capsys: pytest.CaptureFixture[str], tiny_model: Path
) -> None:
    from voiceae import cli

    for name, folder in (("anna", "anna"), ("bert", "bert ö")):
        assert speakers("add", name, clips / folder)[0] == 0
    capsys.readouterr()
    assert cli.run(["speakers", "list", "--model", str(tiny_model)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("2 speakers") and lines[1].startswith("  anna: 2 clips, alike ")
    assert lines[2].startswith("  bert: 1 clip; nearest anna (")
    assert speakers("export", "--matrix", "m.csv", "--plot", "m.png", "--out", "v.npz")[0] == 0
    with Path("m.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["speaker", "anna", "bert"] and rows[2][2] == "" and rows[1][2] == rows[2][1]
    with np.load("v.npz") as table:
        cosines = table["embeddings"][:2] @ table["embeddings"][2]
    assert float(rows[1][2]) == pytest.approx(cosines.mean(), abs=1e-5)
    assert speakers("remove", "bert")[0] == 0
    code, said = speakers("remove", "bert")
    assert code == 1 and "no such speaker" in said and "there are anna" in said


def test_bad_input_is_one_line(speakers: Run, clips: Path, run: Run, tiny_model: Path) -> None:
    (clips / "bad.wav").write_text("no audio")
    assert speakers("add", "a:b", clips / "anna")[0] == 1
    code, said = speakers("add", "bad", clips / "bad.wav")
    assert code == 1 and said.count("\n") == 0 and "is text, not audio" in said
    code, said = speakers("export", "--matrix", "m.csv")
    assert code == 1 and "holds no speakers" in said
    assert speakers("export")[0] == 2
    code, said = run("speakers", "list", "--bank", "none.npz", "--model", tiny_model)
    assert code == 1 and "none.npz: no such bank" in said


def test_two_that_add_at_once_both_stay(
    speakers: Run, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    """While one listens, which takes minutes for many clips, another adds a voice."""
    from voiceae.conversion.voice import Voice

    profile, nested = Voice.profile, [False]

    def listen_while_another_adds(voice: Voice, source: object) -> object:
        if not nested[0]:
            nested[0] = True
            assert speakers("add", "bert", clips / "bert ö") == (0, "")
        return profile(voice, source)  # type: ignore[arg-type]

    monkeypatch.setattr(Voice, "profile", listen_while_another_adds)
    assert speakers("add", "anna", clips / "anna") == (0, "")
    with np.load(tmp_path / "bank.npz") as table:
        assert table["speaker_names"].tolist() == ["anna", "bert"]


ADD = """
import sys
from pathlib import Path
import numpy as np
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.latent.speakers.enrollment import SpeakerBank

for number in range(15):
    name = f"{sys.argv[2]}{number}"
    with SpeakerBank.changing(Path(sys.argv[1]), "model") as bank:
        bank.add(name, {f"/{name}.wav": SpeakerProfile(np.ones(4, np.float32) / 2)})
"""


def test_processes_that_write_one_bank_lose_nobody(tmp_path: Path) -> None:
    bank = tmp_path / "bank.npz"
    adding = [subprocess.Popen([sys.executable, "-c", ADD, str(bank), name]) for name in "ab"]
    assert [process.wait() for process in adding] == [0, 0]
    with np.load(bank) as table:
        assert len(table["speaker_names"]) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["bank.npz"]
