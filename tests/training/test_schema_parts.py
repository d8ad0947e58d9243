"""What a class cannot take is refused by its key, before anything is built."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.training.conftest import Composer
from voiceae.errors import ConfigError, ModelFileError
from voiceae.training.run import fit
from voiceae.training.schema import check_parts
from voiceae.training.settings import Settings, compose, config_dir

ENCODER: dict[str, Any] = {
    "_target_": "voiceae.models.ContentEncoder",
    "n_mels": 80,
    "channels": 8,
    "hidden": 8,
    "n_blocks": 1,
}


def test_parts_of_parts_are_checked_by_their_keys() -> None:
    check_parts({"one": [ENCODER], "two": None}, "model")
    with pytest.raises(ConfigError, match=r"^model\.one\.0\.n_blocks=-1: must be from 0 to 10000000$"):
        check_parts({"one": [{**ENCODER, "n_blocks": -1}]}, "model")
    with pytest.raises(ModelFileError):
        check_parts({"one": {"_target_": "os.system"}}, "model")


def test_every_experiment_passes() -> None:
    names = [path.stem for path in (config_dir() / "experiment").glob("*.yaml")]
    assert len(names) > 10
    for name in names:  # what is refused is named in the error itself
        settings = Settings.read(compose([f"experiment={name}", "data.store=x"])).for_speakers(3)
        check_parts(settings.model, "model")
        check_parts(settings.loss, "loss")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.content.channels=1.5", r"model\.content\.channels=1\.5: expected int"),
        ("model.content.channels=x", r"model\.content\.channels='x': expected int"),
        ("model.content.n_blocks=-1", r"model\.content\.n_blocks=-1: must be from 0 to"),
        ("model.content.n_blocks=9999999999", r"model\.content\.n_blocks=9999999999: must be from 0 to"),
        ("model.decoder=7", r"model\.decoder=7: expected a part, as keys and values"),
        ("model.bottleneck.decay=nan", r"model\.bottleneck\.decay=nan: must be finite"),
        ("model.bottleneck.decay=x", r"model\.bottleneck\.decay='x': expected float"),
        ("loss.perturbed_share=nan", r"loss\.perturbed_share=nan: must be finite"),
        (
            "loss.weights.speaker=nan",
            r"loss\.weights\.speaker: nan: must be a finite number",
        ),
        ("loss.weights.speaker=-1", r"loss\.weights\.speaker: -1: must be at least 0"),
        ("loss.weights.speaker=x", r"loss\.weights\.speaker: 'x': must be a finite number"),
        (
            "model.bottleneck.channels=7",
            r"model, loss: their parts do not fit each other: .*\(\d+x16 and 7x8\)",
        ),
        ("model.n_mels=7", r"model: does not fit the store: .*"),
        ("trainer.devices=-2", r"trainer: .*"),
    ],
)
def test_a_training_refuses_what_it_cannot_be_made_of(
    composed: Composer, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        fit(composed(override))
    assert "\n" not in str(caught.value)


def test_a_batch_that_does_not_fit_into_memory_is_told_with_what_to_lower(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voiceae.data.crops import CropSampler
    from voiceae.errors import TrainingError

    def full(self: CropSampler, *arguments: Any) -> Any:
        raise MemoryError("Unable to allocate 640. GiB")

    monkeypatch.setattr(CropSampler, "batch", full)
    told = re.escape("out of memory with data.batch_size=4, data.crop_frames=32")
    with pytest.raises(TrainingError, match=f"^{told}.*; lower one of them"):
        fit(composed())
