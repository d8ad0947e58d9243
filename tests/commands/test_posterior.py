from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from tests.commands.conftest import Run
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.latent.posterior import Posterior


def buzz(hz: float) -> np.ndarray:
    """Twenty harmonics of a fundamental that rises by a tenth."""
    time = np.arange(12000) / 16000
    phase = 2 * np.pi * hz * (time + 0.07 * time**2)
    return 0.05 * sum(np.sin(k * phase) / k for k in range(1, 21)).astype(np.float32)


def test_fit_then_sample(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal((3, 12000))).astype(np.float32)
    for number in range(10):
        audio_io.write(
            tmp_path / f"c/s{number}/1.wav", Audio(buzz(100.0 + 15 * number) + 0.05 * noise[0], 16000)
        )
    for number in range(
        3
    ):  # voices without a pitch; each is a speaker whose codes count, and who is no place in the space
        audio_io.write(tmp_path / f"c/w{number}/1.wav", Audio(noise[number], 16000))
    model = shutil.copy(tiny_model, tmp_path / "mine.safetensors")
    sample = ["sample", "--model", model, "--n", 2, "--seconds", 0.5, "--no-scorers", "--from"]
    code, said = run(*sample, "aggregated", "--out", "early")
    assert (
        code == 1 and "mine.posterior.safetensors: no such file; make one with voiceae posterior fit" in said
    )
    assert run("posterior", "fit", "--recordings", "c", "--components", 2, "--model", model) == (0, "")
    assert Posterior.read("mine.posterior.safetensors").about["speakers"] == 10
    for origin in ("prior", "aggregated"):
        assert run(*sample, origin, "--out", origin) == (0, "")
        report = json.loads(Path(origin, "report.json").read_text())
        assert [each["file"] for each in report["samples"]] == [f"{origin}-1.wav", f"{origin}-2.wav"]
        assert len(audio_io.load(Path(origin, f"{origin}-1.wav"), 22050).wav) > 10000
    code, said = run("posterior", "fit", "--recordings", "c", "--model", model)
    assert code == 1 and "exists already" in said
    assert run(*sample, "prior", "--source", "a", "--target", "b", "--out", "x")[0] == 2
