"""HiFi-GAN checkpoints in their authors' format: reading, refusing, importing."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from voiceae.errors import OutputError, SpecMismatchError, VocoderError
from voiceae.io import modelfile
from voiceae.specs import AudioSpec
from voiceae.vocoders import hifigan as checkpoint
from voiceae.vocoders.load import load_vocoder

CONFIG: dict[str, Any] = {
    "resblock": "2",
    "upsample_rates": [16, 16],
    "upsample_kernel_sizes": [32, 32],
    "upsample_initial_channel": 8,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 2]],
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "win_size": 1024,
    "sampling_rate": 22050,
    "fmin": 0,
    "fmax": 8000,
}


def authors_state(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"conv_pre": (8, 80, 7), "ups.0": (8, 4, 32), "ups.1": (4, 2, 32), "conv_post": (1, 2, 7)}
    shapes |= {
        f"resblocks.{stage}.convs.{step}": (4 >> stage,) * 2 + (3,) for stage in (0, 1) for step in (0, 1)
    }
    state = {}
    for name, shape in shapes.items():
        outputs = shape[1] if name.startswith("ups") else shape[0]
        state[f"{name}.weight_v"] = torch.randn(shape, generator=generator)
        state[f"{name}.weight_g"] = torch.rand(shape[0], 1, 1, generator=generator) + 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small checkpoint laid out as published ones are."""
    folder = tmp_path / "hifi gan"
    folder.mkdir()
    torch.save({"generator": authors_state()}, folder / "generator_v9")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def test_folding_is_torchs_weight_norm() -> None:
    state = authors_state()
    folded = checkpoint.fold_weight_norm(state)
    for name in ("conv_pre", "ups.0", "conv_post"):
        expected = torch._weight_norm(state[f"{name}.weight_v"], state[f"{name}.weight_g"], 0)
        torch.testing.assert_close(folded[f"{name}.weight"], expected)
    assert not [name for name in folded if name.endswith(("weight_g", "weight_v"))]
    modern = {
        "a.parametrizations.weight.original0": state["ups.0.weight_g"],
        "a.parametrizations.weight.original1": state["ups.0.weight_v"],
    }
    assert torch.equal(checkpoint.fold_weight_norm(modern)["a.weight"], folded["ups.0.weight"])


def test_folder_and_file_are_the_same(folder: Path) -> None:
    mel = torch.randn(1, 80, 7)
    first, second = load_vocoder(folder, AudioSpec()), load_vocoder(folder / "generator_v9", AudioSpec())
    assert torch.equal(first(mel), second(mel))
    assert first.spec == AudioSpec()
    assert not first.training and not any(parameter.requires_grad for parameter in first.parameters())


def test_the_last_of_several_generators_is_taken(folder: Path) -> None:
    torch.save({"generator": authors_state(seed=1)}, folder / "generator_v8")
    assert checkpoint.locate(folder)[0].name == "generator_v9"
    (folder / "generator_v9").rename(folder / "g_00000500")
    (folder / "generator_v8").rename(folder / "g_00001000")
    assert checkpoint.locate(folder)[0].name == "g_00001000"


def test_open_upper_edge_is_half_the_rate(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "fmax": None}))
    assert checkpoint.read_config(folder).spec.f_max == 11025.0


@pytest.mark.parametrize("half", [False, True])
def test_import_keeps_the_sound(folder: Path, tmp_path: Path, half: bool) -> None:
    out = tmp_path / "new" / "voc.safetensors"
    checkpoint.convert(folder, out, half=half)
    mel = torch.randn(1, 80, 40)
    original, imported = load_vocoder(folder, AudioSpec()), load_vocoder(out, AudioSpec())
    torch.testing.assert_close(imported(mel), original(mel), atol=2e-2 if half else 1e-6, rtol=0)
    header = modelfile.read_header(out)
    assert (header.kind, header.extra["imported_from"]) == ("vocoder", "generator_v9")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_import_of_the_real_one_keeps_the_sound(
    shared_vocoder: Path, tmp_path: Path, mels: list[Tensor]
) -> None:
    out = tmp_path / "lj.safetensors"
    checkpoint.convert(shared_vocoder / "generator_v3_lj", out)
    mel = mels[0][None, :, :90]
    expected = load_vocoder(shared_vocoder, AudioSpec())(mel)
    torch.testing.assert_close(load_vocoder(out, AudioSpec())(mel), expected, atol=1e-6, rtol=0)


def test_import_overwrites_only_when_told(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "voc.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        checkpoint.convert(folder, out)
    assert out.read_bytes() == b"precious"
    checkpoint.convert(folder, out, force=True)
    assert modelfile.read_header(out).kind == "vocoder"
    with pytest.raises(OutputError, match=r"ends in \.safetensors"):
        checkpoint.convert(folder, tmp_path / "voc.bin")


class Trap:
    """Would make a folder if anything unpickled it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_checkpoint_is_refused_and_not_run(folder: Path, tmp_path: Path, write: Any) -> None:
    write({"generator": Trap(tmp_path / "sprung")}, folder / "generator_v9")
    with pytest.raises(VocoderError, match="holds code besides weights") as caught:
        load_vocoder(folder, AudioSpec())
    assert not (tmp_path / "sprung").exists()
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    generator = folder / "generator_v9"
    whole = generator.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 30):
        generator.write_bytes(whole[:size])
        with pytest.raises(VocoderError, match="generator_v9: ") as caught:
            load_vocoder(folder, AudioSpec())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}}, 'holds no "generator" weights'),
        ([1, 2], 'holds no "generator" weights'),
        ({"generator": {"conv_pre.weight": 3}}, 'holds no "generator" weights'),
        ({"generator": {"conv_pre.bias": torch.zeros(8)}}, "does not fit config.json: Missing key"),
        (
            {"generator": {**authors_state(), "conv_pre.bias": torch.zeros(9)}},
            "size mismatch for conv_pre.bias",
        ),
        ({"generator": {"conv_pre.weight_g": torch.zeros(8, 1, 1)}}, "weight_v"),
    ],
)
def test_other_torch_files_are_refused(folder: Path, content: Any, message: str) -> None:
    torch.save(content, folder / "generator_v9")
    with pytest.raises(VocoderError, match=message) as caught:
        load_vocoder(folder, AudioSpec())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not the config of a HiFi-GAN"),
        ("[]", "is not the config of a HiFi-GAN"),
        (json.dumps({**CONFIG, "hop_size": "many"}), "is not the config of a HiFi-GAN: invalid literal"),
        (json.dumps({name: value for name, value in CONFIG.items() if name != "fmin"}), "lacks 'fmin'"),
        (json.dumps({**CONFIG, "upsample_rates": [8, 8]}), "do not multiply to hop_length 256"),
        (json.dumps({**CONFIG, "upsample_rates": 8}), "is not the config of a HiFi-GAN"),
    ],
)
def test_other_configs_are_refused(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(VocoderError, match=message):
        load_vocoder(folder, AudioSpec())


def test_missing_parts_are_named(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(VocoderError, match=r"generator_v9: has no config\.json beside it"):
        load_vocoder(folder, AudioSpec())
    (folder / "generator_v9").unlink()
    with pytest.raises(VocoderError, match=r"holds no generator_\* file"):
        load_vocoder(folder, AudioSpec())


def test_another_mel_is_refused_before_weights_are_read(folder: Path) -> None:
    (folder / "generator_v9").write_bytes(b"not read")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "fmax": 11025, "n_fft": 2048}))
    with pytest.raises(
        SpecMismatchError, match=r"n_fft: model 1024, vocoder 2048; f_max: model 8000\.0, vocoder 11025"
    ):
        load_vocoder(folder, AudioSpec())


def test_the_real_config_is_the_default_spec(shared_vocoder: Path, tmp_path: Path) -> None:
    shutil.copy(shared_vocoder / "config.json", tmp_path)
    (tmp_path / "generator_x").touch()
    assert checkpoint.read_config(tmp_path).spec == AudioSpec()
