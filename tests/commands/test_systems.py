"""Published systems through the commands a user types: trained, gone on with, converted with, diagnosed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tests.evaluation.diagnosis.worlds as worlds
from tests import tiny
from tests.systems import SMALL
from voiceae import cli
from voiceae.io import audio as audio_io
from voiceae.io import modelfile
from voiceae.io.audio import Audio
from voiceae.training.reporting import read_metrics

FAST = [
    *("trainer.threads=1", "trainer.max_steps=2", "trainer.log_every=1", "trainer.validate_every=2"),
    *("trainer.validate_batches=1", "trainer.picture_every=0", "data.batch_size=3"),
    *("data.crop_frames=32", "data.reference_frames=32", "optim.warmup_steps=1"),
]
STAGES = (
    "trainer.stages=[{name: hide, steps: 2, freeze: [decoder.generator, decoder.gain, adversary.discriminator]}, \
{name: refine, steps: 2, train: [decoder.generator, decoder.gain, adversary.discriminator]}]"
)

ONE_EACH = [f"trainer.stages.{number}.steps=1" for number in range(4)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.write_store(tmp_path_factory.mktemp("systems") / "store", speakers=5, clips=5)


@pytest.fixture(scope="module")
def trained_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("systems") / "before.safetensors", seed=4)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_system_goes_from_training_to_diagnosis(
    name: str, store: Path, trained_before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_name = {
        "autovc": [f"loss.speaker_from={trained_before}"],
        "multitarget": [STAGES],
        "ae_stacked": ONE_EACH,
    }
    more = by_name.get(name, [])
    out = tmp_path / "run"
    call = ["train", f"experiment={name}", f"data.store={store}", f"out={out}", *FAST, *SMALL[name], *more]
    assert cli.run(call) == 0, capsys.readouterr().err
    assert cli.run([*call, "trainer.resume=auto", "trainer.max_steps=4"]) == 0, capsys.readouterr().err
    header = modelfile.read_header(out / "model.safetensors")
    assert header.extra["steps"] == 4
    lines = [line for line in read_metrics(out / "metrics.jsonl") if "total" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(np.isfinite(value) for line in lines for value in line.values())

    rng = np.random.default_rng(0)
    for clip in ("a", "b"):
        audio_io.write(
            tmp_path / f"{clip}.wav", Audio(0.1 * rng.standard_normal(16000).astype(np.float32), 16000)
        )
    model, said = out / "model.safetensors", tmp_path / "said.wav"
    convert = ["convert", tmp_path / "a.wav", "--target", tmp_path / "b.wav", "--out", said, "--model", model]
    assert cli.run([str(each) for each in convert]) == 0, capsys.readouterr().err
    assert audio_io.load(said, 22050).seconds == pytest.approx(1.0, abs=0.001)

    capsys.readouterr()
    assert cli.run(["diagnose", str(model), "--store", str(store), "--quick"]) in (
        0,
        1,
    )  # it may fail after four steps
    areas = {line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert {"collapse", "leakage", "speakers", "spoken"} <= areas
