"""Taking a trained speaker encoder: by path or by name, and the refusals."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.systems import small_system, speechlike
from voiceae.assets import ASSETS
from voiceae.errors import ConfigError, ModelFileError, SpecMismatchError
from voiceae.io import modelfile
from voiceae.models import Autoencoder
from voiceae.training.objectives.autovc import take_speaker
from voiceae.training.settings import compose


def test_the_bundled_model_s_encoder_is_the_one_that_the_config_describes():
    model: Autoencoder = modelfile.build(compose(["experiment=autovc", "data.store=STORE"])["model"])
    take_speaker(model, "base", tiny.SPEC)
    home = modelfile.load(ASSETS / "base.safetensors", kind="autoencoder").module
    mel = speechlike(1, 60) * 2 - 5
    torch.testing.assert_close(model.embed(mel), home.embed(mel), atol=1e-4, rtol=0)
    model.set_statistics(torch.full((80,), -4.0), torch.full((80,), 3.0))
    torch.testing.assert_close(model.embed(mel), home.embed(mel), atol=1e-4, rtol=0)


def test_what_cannot_be_taken_is_refused_in_one_line(tmp_path: Path):
    model, good = small_system("autovc"), tiny.write_model(tmp_path / "good.safetensors")
    narrow = tiny.write_model(tmp_path / "narrow.safetensors", spec=replace(tiny.SPEC, hop_length=128))
    with pytest.raises(ConfigError, match="no PretrainedSpeaker to fill"):
        take_speaker(small_system("adain_vc"), str(good), tiny.SPEC)
    with pytest.raises(SpecMismatchError, match="hop_length"):
        take_speaker(model, str(narrow), tiny.SPEC)
    with pytest.raises(ModelFileError, match="no such model file"):
        take_speaker(model, str(tmp_path / "none.safetensors"), tiny.SPEC)
    with pytest.raises(ConfigError, match=r"describe it so as model\.speaker\.encoder") as caught:
        take_speaker(model, "base", tiny.SPEC)
    assert "\n" not in str(caught.value)
