from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Run
from voiceae.latent import speech_check
from voiceae.latent.speech_check import SpeechCheck


def test_without_scorers_the_report_says_so(
    run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        speech_check.SpeechCheck,
        "load",
        classmethod(lambda cls: SpeechCheck(None, None, ("scorer mos: not installed",))),
    )
    code, said = run(
        "sample", "--from", "prior", "--n", 1, "--seconds", 0.5, "--model", tiny_model, "--out", "s"
    )
    assert (code, said) == (0, "voiceae: scorer mos: not installed")
    assert json.loads(Path("s/report.json").read_text())["samples"][0]["speech"] is None
