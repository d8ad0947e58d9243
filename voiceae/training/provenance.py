"""The model file of a training: averaged weights, and where they come from."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import voiceae
from voiceae.assets import ASSETS
from voiceae.errors import ConfigError, VoiceAEError
from voiceae.io import modelfile
from voiceae.models import Autoencoder
from voiceae.models.encoders import PretrainedSpeaker
from voiceae.specs import AudioSpec
from voiceae.training.config import without_paths
from voiceae.training.settings import Settings

if TYPE_CHECKING:
    from voiceae.training.module import TrainingModule


def take_speaker(model: Autoencoder, source: str, spec: AudioSpec) -> None:
    """Fill a model's `PretrainedSpeaker` from a model file; from then on the model carries it.

    Args:
        model: whose speaker part is a `PretrainedSpeaker`.
        source: a model file, or the name of one that comes with the package.
        spec: mel contract that both must share.

    Raises:
        ConfigError: when the model has no such part, or the file's encoder is built in another way.
        ModelFileError: when the file is missing, damaged or no autoencoder.
        SpecMismatchError: when its mels are others.
    """
    if not isinstance(model.speaker, PretrainedSpeaker):
        raise ConfigError(
            f"loss.speaker_from={source}: the model has no FrozenSpeaker to fill; describe one, as model=autovc does"
        )
    bundled = ASSETS / f"{source}.safetensors"
    given = modelfile.load(bundled if bundled.is_file() else source, kind="autoencoder")
    given.header.spec.require_same(spec, "the speaker encoder's model", "store")
    try:
        theirs = given.module
        model.speaker.take(theirs.speaker, theirs.mel_mean, theirs.mel_deviation)  # type: ignore[arg-type]
    except ValueError as error:
        built = given.header.description.get("speaker")
        raise ConfigError(
            f"loss.speaker_from={source}: its speaker encoder is {built}; describe it so as model.speaker.encoder "
            f"({error})"
        ) from None


MODEL = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """Writes the model of a training as a file that works alone.

    Attributes:
        settings: of the training.
        earlier: what the model file that this training started from says of its own legs.
    """

    settings: Settings
    earlier: tuple[Mapping[str, Any], ...] = field(default=())

    def export(self, module: TrainingModule) -> None:
        """Write `model.safetensors` into the run folder, with the averaged weights.

        Raises:
            OutputError: when it cannot be written.
        """
        with module.averages.in_place():
            modelfile.save(
                self.settings.out / MODEL,
                module.objective.model,
                kind=module.objective.kind,
                description=self.settings.model,
                spec=module.store.spec,
                extra=self.provenance(module),
            )

    def is_current(self, module: TrainingModule) -> bool:
        """Whether the model file in the run folder is of the module's step."""
        try:
            legs = modelfile.read_header(self.settings.out / MODEL).extra["legs"]
            return bool(legs[-1]["steps"] == module.step)
        except (VoiceAEError, KeyError, IndexError, TypeError):
            return False

    def provenance(self, module: TrainingModule) -> dict[str, Any]:
        """Corpus, amount of training, validation figures, config and versions; totals count every leg."""
        leg = self.leg(module)
        legs = [*map(dict, self.earlier), leg]
        totals = {name: sum(each[name] for each in legs) for name in ("steps", "frames", "seconds")}
        return {
            "name": self.settings.name,
            "corpus": leg["corpus"],
            "store": leg["store"],
            **totals,
            "seed": self.settings.seed,
            "legs": legs,
            "validation": dict(module.figures),
            "config": without_paths(self.settings.config),
            "versions": {
                "voiceae": voiceae.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    def leg(self, module: TrainingModule) -> dict[str, Any]:
        """One training without interruption of its optimisers."""
        return {
            "corpus": Path(self.settings.data.store).resolve().name,
            "store": store_fingerprint(Path(self.settings.data.store)),
            "speakers": len(module.store.speakers),
            "speaker_names": list(module.store.speakers),  # evaluation leaves them out
            "steps": module.step,
            "frames": module.frames,
            "seconds": round(module.seconds, 1),
            "seed": self.settings.seed,
            "precision": self.settings.trainer.precision,
            "device": device_name(module.device),
            "processes": module.trainer.world_size,
        }


def store_fingerprint(store: Path) -> str:
    """Twelve hexadecimal digits of a store's utterance table and statistics."""
    digest = hashlib.sha256()
    for name in ("utterances.csv", "statistics.npz"):
        digest.update((store / name).read_bytes())
    return digest.hexdigest()[:12]


def resume_identity(settings: Settings) -> dict[str, Any]:
    """What a training keeps from its first step to its last, by config key; the store by its fingerprint.

    Crops and noise are drawn by these, and an optimiser's memory serves no other kind.
    """
    return {
        "seed": settings.seed,
        "data.store": store_fingerprint(Path(settings.data.store)),
        "data.batch_size": settings.data.batch_size,
        "optim.kind": settings.optim.kind,
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or the kind of processor."""
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type} ({platform.machine()})"
    )
