from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.commands.conftest import Run
from tests.tiny import SPEC, description
from voiceae.io import modelfile
from voiceae.latent.units import read_units


@pytest.fixture(scope="module")
def vq_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = modelfile.build(description(bottleneck="vq")).eval()
    model.set_statistics(torch.full((80,), -4.0), torch.full((80,), 2.0))
    model.bottleneck.codebook.mul_(0.3)
    path = tmp_path_factory.mktemp("models") / "vq.safetensors"
    modelfile.save(path, model, kind="autoencoder", description=description(bottleneck="vq"), spec=SPEC)
    return path


def test_encode_decode_tree(run: Run, vq_model: Path, clips: Path) -> None:
    assert run("units", "encode", clips, "--pitch", "--model", vq_model, "--out", "u.txt") == (0, "")
    text = read_units(Path("u.txt"))
    assert [Path(line.name).name for line in text.lines] == ["1.wav", "2.flac", "1.wav"]
    decode = [
        "units",
        "decode",
        "u.txt",
        "--target",
        clips / "anna/1.wav",
        "--model",
        vq_model,
        "--out",
        "spoken",
    ]
    assert run(*decode) == (0, "")
    assert sorted(path.name for path in Path("spoken").iterdir()) == ["1-1.wav", "2-2.wav", "3-1.wav"]
    assert run("units", "tree", clips, "--no-phones", "--model", vq_model, "--out", "t.png") == (0, "")
    figures = json.loads(Path("t.json").read_text())
    used = {int(code) for line in text.lines for code in line.codes}
    assert set(figures["codes"]) == used and figures["phones"] is None


def test_a_model_without_units_is_one_line(run: Run, tiny_model: Path, vq_model: Path, clips: Path) -> None:
    for action in (["encode", clips, "--out", "u.txt"], ["tree", clips, "--out", "t.png"]):
        code, said = run("units", *action, "--model", tiny_model)
        assert code == 1 and "units need a discrete one" in said and said.count("\n") == 0
    assert run("units", "encode", clips, "--collapse", "--model", vq_model, "--out", "c.txt") == (0, "")
    code, said = run(
        "units", "decode", "c.txt", "--target", clips / "anna/1.wav", "--model", tiny_model, "--out", "s"
    )
    assert code == 1 and "was made with model" in said
    assert (
        run("units", "encode", clips, "--collapse", "--pitch", "--model", vq_model, "--out", "d.txt")[0] == 2
    )
