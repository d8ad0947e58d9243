"""Vocoders by name and path."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from voiceae.errors import ModelFileError, SpecMismatchError, VocoderError
from voiceae.io import modelfile
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.griffinlim import GriffinLim
from voiceae.vocoders.hifigan import HiFiGAN
from voiceae.vocoders.load import load_vocoder

TINY = {
    "resblock": "2",
    "upsample_rates": [16, 16],
    "upsample_kernel_sizes": [16, 16],
    "upsample_initial_channel": 4,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1]],
}


def write_tiny(path: Path, spec: AudioSpec) -> Path:
    description = {"_target_": "voiceae.vocoders.hifigan.HiFiGAN", "spec": spec.to_dict(), **TINY}
    modelfile.save(path, modelfile.build(description), kind="vocoder", description=description, spec=spec)
    return path


def test_by_name() -> None:
    spec = AudioSpec(sample_rate=16000)
    vocoder = load_vocoder("griffinlim", spec)
    assert isinstance(vocoder, GriffinLim)
    assert (vocoder.spec, vocoder.name) == (spec, "griffinlim")


def test_by_file(tmp_path: Path) -> None:
    vocoder = load_vocoder(write_tiny(tmp_path / "tiny.safetensors", AudioSpec()), AudioSpec())
    assert isinstance(vocoder, HiFiGAN)
    assert vocoder(torch.zeros(2, 80, 3)).shape == (2, 768)


@pytest.mark.parametrize("name", ["griffin", "no/such/folder", ""])
def test_an_unknown_name_lists_what_there_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VocoderError, match=r"griffinlim|generator"):
        load_vocoder(name, AudioSpec())


def test_another_mel_is_refused(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.safetensors", AudioSpec(f_max=11025.0))
    with pytest.raises(SpecMismatchError, match=r"f_max: model 8000\.0, vocoder 11025\.0"):
        load_vocoder(path, AudioSpec())


def test_damage_is_refused(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.safetensors", AudioSpec())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="damaged or truncated"):
        load_vocoder(path, AudioSpec())
    with pytest.raises(ModelFileError, match="no such model file"):
        load_vocoder(tmp_path / "none.safetensors", AudioSpec())


def test_a_module_that_is_no_vocoder_is_refused(tmp_path: Path) -> None:
    from voiceae.vocoders.hifigan import SingleBlock

    description = {
        "_target_": "voiceae.vocoders.hifigan.SingleBlock",
        **{"channels": 2, "kernel_size": 3, "dilations": [1]},
    }
    path = tmp_path / "odd.safetensors"
    block = SingleBlock(channels=2, kernel_size=3, dilations=[1])
    modelfile.save(path, block, kind="vocoder", description=description, spec=AudioSpec())
    with pytest.raises(VocoderError, match="SingleBlock is not a vocoder"):
        load_vocoder(path, AudioSpec())


def test_the_interface_leaves_synthesis_to_its_kinds() -> None:
    vocoder = Vocoder()
    vocoder.spec, vocoder.name = AudioSpec(), "none"
    with pytest.raises(NotImplementedError):
        vocoder(torch.zeros(1, 80, 1))


def test_pieces_give_what_the_whole_gives() -> None:
    torch.manual_seed(0)
    spec = AudioSpec()
    vocoder = modelfile.build(
        {"_target_": "voiceae.vocoders.hifigan.HiFiGAN", "spec": spec.to_dict(), **TINY}
    ).eval()
    vocoder.piece_frames = 50
    mel = torch.randn(1, 80, 333)
    with torch.inference_mode():
        blocks = list(vocoder.blocks(mel.split(40, dim=2), 333))
        assert len(blocks) > 4
        torch.testing.assert_close(torch.cat(blocks, dim=1), vocoder.generate(mel), atol=1e-6, rtol=1e-4)
