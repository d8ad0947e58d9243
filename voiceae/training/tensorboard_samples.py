"""What the model does, for the eye and the ear: mel pictures and audio in TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from matplotlib import colormaps

from voiceae.vocoders import load_vocoder

if TYPE_CHECKING:
    from voiceae.training.module import TrainingModule
    from voiceae.training.reporting import Reporting

N_EXAMPLES = 2


class TensorBoardSamples(Callback):
    """What the objective shows of a few validation crops, as a picture and its sounds each.

    Args:
        reporting: whose TensorBoard writer is used.
        every: steps between pictures, drawn at the validation that follows; 0 never.
        vocoder: name or path of what turns mels into sound.
    """

    def __init__(self, reporting: Reporting, every: int, vocoder: str) -> None:
        self.reporting, self.every, self.vocoder = reporting, every, vocoder

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        """Draw when due; the averaged weights are in place here."""
        writer, step = self.reporting.writer, pl_module.step
        if writer is None or not self.is_due(step, pl_module.settings.trainer.validate_every):
            return
        with torch.random.fork_rng(devices=[]):
            mels = examples(pl_module)
        vocoder = load_vocoder(self.vocoder, pl_module.store.spec, "cpu")
        for index in range(next(iter(mels.values())).shape[0]):
            rows = {name: mel[index] for name, mel in mels.items()}
            writer.add_image(f"mel/{index}", picture(list(rows.values())), step, dataformats="HWC")
            for name, mel in rows.items():
                wav = vocoder(mel[None])[0]
                wav = wav / wav.abs().max().clamp(min=1)
                writer.add_audio(f"{name}/{index}", wav, step, pl_module.store.spec.sample_rate)

    def is_due(self, step: int, validate_every: int) -> bool:
        """Whether a multiple of `every` lies in the steps since the last validation."""
        return self.every > 0 and step // self.every > max(0, step - validate_every) // self.every


@torch.no_grad()
def examples(module: TrainingModule) -> dict[str, torch.Tensor]:
    """What the objective shows of the first validation batch: (N_EXAMPLES, M, T) each, on the CPU."""
    batch = next(iter(module.valid.values())).batch(0)
    mels = module.objective.examples(batch, N_EXAMPLES)
    return {name: value.float().cpu() for name, value in mels.items()}


def picture(mels: list[torch.Tensor]) -> Any:
    """Mels (M, T) one above the other, on the colour scale of the first: (height, T, 3) in 0..1."""
    low, high = mels[0].min(), mels[0].max()
    gap = torch.full((2, mels[0].shape[1]), 1.0)
    rows = [((mel - low) / (high - low).clamp(min=1e-6)).clamp(0, 1).flip(0) for mel in mels]
    stacked = torch.cat([part for row in rows for part in (row, gap)][:-1])
    return colormaps["magma"](stacked.numpy())[..., :3].astype(np.float32)
