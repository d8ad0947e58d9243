"""AutoVC's losses, and the encoder that it listens to."""

from pathlib import Path

import pytest
import torch

from tests.systems import config, moved, small_batch, small_system
from tests.tiny import write_model
from voiceae.io import modelfile
from voiceae.nn.layers import downsample_mask
from voiceae.training.objectives.autovc import AutoVC

WEIGHTS = {"reconstruction": 1.0, "coarse_reconstruction": 1.0, "content": 1.0}


def objective(**weights: float) -> AutoVC:
    return AutoVC(
        model=small_system("autovc"), weights={**WEIGHTS, **weights}, distance="l2", reference="other"
    )


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_the_content_loss_is_between_the_codes_of_what_is_heard_and_given():
    asked, batch = objective().eval(), small_batch()
    result = asked(batch, 0, generator())
    model = asked.model
    own = model.encode(batch.mel, batch.mask).units
    heard = model.normalise(result.mels["output"])
    again = model.bottleneck(
        model.content(heard, batch.mask, result.speaker), downsample_mask(batch.mask, 8)
    ).units
    counted = downsample_mask(batch.mask, 8)[:, None]
    wanted = ((own - again).abs() * counted).sum() / (counted.sum() * own.shape[1])
    torch.testing.assert_close(result.losses["content"], wanted.detach())


def test_the_coarse_loss_is_not_that_of_the_refined_mel():
    asked = objective()
    result = asked(small_batch(), 0, generator())
    assert result.losses["coarse_reconstruction"] != result.losses["reconstruction"]
    for weight in asked.model.decoder.post[-1].parameters():
        torch.nn.init.zeros_(weight)
    result = asked(small_batch(), 0, generator())
    torch.testing.assert_close(result.losses["coarse_reconstruction"], result.losses["reconstruction"])


def test_everything_learns_but_the_speaker_encoder():
    asked = objective().train()
    asked(small_batch(), 0, generator()).total.backward()
    parts = {name.split(".")[0] for name in moved(asked.model)}
    assert parts == {"content", "bottleneck", "decoder"}


def test_the_voice_is_of_other_speech_so_that_it_brings_no_words():
    asked, batch = objective().eval(), small_batch()
    wanted = asked.model.embed(batch.reference, batch.reference_mask)
    torch.testing.assert_close(asked(batch, 0, generator()).speaker, wanted)


def test_the_speaker_encoder_comes_from_the_file_that_is_named(tmp_path: Path):
    path = write_model(tmp_path / "trained.safetensors", seed=5)

    class Store:
        spec = modelfile.read_header(path).spec

    options = {key: value for key, value in config("autovc")["loss"].items() if key != "_target_"}
    asked = AutoVC.configured(small_system("autovc"), Store(), {**options, "speaker_from": str(path)})
    home, batch = modelfile.load(path, kind="autoencoder").module, small_batch()
    torch.testing.assert_close(asked.model.embed(batch.mel), home.embed(batch.mel))


def test_a_model_of_other_parts_is_refused():
    with pytest.raises(ValueError, match="model=autovc"):
        AutoVC(model=small_system("adain_vc"), weights=WEIGHTS)
