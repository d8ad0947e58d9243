"""`voiceae verify` and `voiceae diagnose --corpus` on a small folder and a model of random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.commands.conftest import Run

RATE = 16000


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five speakers that buzz at their own pitch with their own spectrum, four clips each, and one with one clip."""
    root = tmp_path_factory.mktemp("voices")
    rng = np.random.default_rng(0)
    for number, clips in enumerate((4, 4, 4, 4, 4, 1)):
        slope = 0.4 + 0.3 * number
        for index in range(clips):
            phase = 2 * np.pi * (100 + 35 * number + index) * np.arange(RATE) / RATE
            wav = sum(np.cos(k * phase) * k**-slope for k in range(1, 14))
            path = root / f"v{number}" / f"{index}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.05 * wav + 0.002 * rng.standard_normal(RATE), RATE)
    return root


def test_the_models_own_encoder_alone(run: Run, tiny_model: Path, voices: Path) -> None:
    call = [
        "verify",
        "--model",
        tiny_model,
        "--corpus",
        voices,
        "--kind",
        "folder",
        "--encoders",
        "",
        "--no-cache",
    ]
    code, said = run(*call, "--out", "found.json")
    assert (code, said) == (0, "")
    found = json.loads(Path("found.json").read_text())
    # A speaker of one clip is nobody's pair.
    assert found["clips"] == 20 and found["speakers"] == 5 and found["through_other_channel"] == 10
    assert list(found["encoders"]) == ["model"] and found["corpus"] == voices.name
    rate = found["encoders"]["model"]["one_channel"]["equal_error"]
    assert 0 <= rate["low"] <= rate["mean"] <= rate["high"] < 0.5
    assert run(*call, "--out", "found.json")[0] == 1, "it exists"


def test_what_cannot_be_verified_is_one_line(run: Run, tiny_model: Path, voices: Path) -> None:
    for corpus, encoders, reason in (
        (voices / "v0", "", "no recordings found"),
        (voices, "ears", "ears: no such scorer"),
    ):
        code, said = run(
            *("verify", "--model", tiny_model, "--corpus", corpus, "--kind", "folder", "--encoders", encoders)
        )
        assert code == 1 and reason in said and said.count("\n") == 0


def test_the_units_of_a_corpus_are_probed(run: Run, tiny_model: Path, voices: Path) -> None:
    code, _ = run("diagnose", tiny_model, "--corpus", voices, "--kind", "folder", "--out", "diagnosis")
    found = json.loads(Path("diagnosis/diagnosis.json").read_text())
    assert list(found["areas"]) == ["probe"] and found["about"]["corpus"] == voices.name
    figures = found["areas"]["probe"]["figures"]
    assert figures["speakers"] == 5 and figures["clips_to_fit"] == figures["clips_scored"] == 10
    assert code == (found["verdict"] == "failed")
    assert Path("diagnosis/diagnosis.png").read_bytes().startswith(b"\x89PNG")


def test_a_diagnosis_wants_a_store_or_a_corpus(run: Run, tiny_model: Path, voices: Path) -> None:
    assert run("diagnose", tiny_model)[0] == 2
    code, said = run("diagnose", tiny_model, "--corpus", voices / "v5", "--kind", "folder")
    assert code == 1 and said.count("\n") == 0
