"""Give a vocoder a wider band without training it: the new bins by least squares, all that was there as it is.

python widen.py VOCODER STORE OUT [--band HZ] [--batches N]

The level above the mel is a linear function of what the network knows of a frame, fitted to recordings of the store
that reach so far; half of them are heard as if they ended with the mel, as recordings of 16 kHz do. How much of it is
harmonic, and its phases, go on from the uppermost bins of the mel. A good start for `experiment=vocoder`, in a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from voiceae.data.store import FeatureStore
from voiceae.data.waves import WaveBatch, WaveCropSampler
from voiceae.dsp.filters import low_pass
from voiceae.dsp.mel import LogMel
from voiceae.io import modelfile
from voiceae.specs import AudioSpec
from voiceae.vocoders.sourcefilter import SourceFilter

GO_ON_FROM_HZ = (6900.0, 7500.0)  # below the edge that recordings of 16 kHz fade in
LIMIT_NATS = 3.0  # of the vocoder's corrections
SMOOTHED_BINS = 17  # levels of single bins of noise scatter by more than speech differs
RIDGE = 1e-3
# By how much a crop may fall across the mel's edge: cheap microphones and codecs leave files of any rate empty above.
DROP_DB = 25.0
EDGE_FRAMES = 4  # of a crop, whose windows reach out of it


def main() -> None:
    """Widen VOCODER and write OUT."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("vocoder", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--band", type=float, default=11025.0, help="Hz")
    parser.add_argument("--batches", type=int, default=60, help="of 16 crops of 96 frames")
    arguments = parser.parse_args()
    given = modelfile.load(arguments.vocoder, kind="vocoder")
    description = {**given.header.description, "band": arguments.band}
    vocoder = modelfile.build(description).eval()
    vocoder.start_from(given.module.state_dict())
    crops = WaveCropSampler(
        FeatureStore.open(arguments.store), "train", batch_size=16, crop_frames=96, reference_frames=8, seed=0
    )
    with torch.no_grad():
        go_on(vocoder)
        parts = [frames(vocoder, crops.batch(number), number) for number in range(arguments.batches)]
        known, wanted = (torch.cat(values).double() for values in zip(*parts, strict=True))
        count = len(known) * 9 // 10
        rows = fit(known[:count], wanted[:count])
        vocoder.leave.weight[vocoder.mel_bins : vocoder.bins] = rows[:-1].T.float()
        vocoder.leave.bias[vocoder.mel_bins : vocoder.bins] = rows[-1].float()
    guessed = functional.pad(known[count:], (0, 1), value=1.0) @ rows
    error, spread = guessed - wanted[count:], wanted[count:] - wanted[:count].mean(0)
    print(
        f"{len(known)} frames; on those held out the level is off by {float(error.square().mean().sqrt()):.2f} nats, "
        f"where its mean alone is by {float(spread.square().mean().sqrt()):.2f}"
    )
    extra = {**given.header.extra, "widened": {"band": arguments.band, "frames": len(known)}}
    modelfile.save(
        arguments.out, vocoder, kind="vocoder", description=description, spec=given.header.spec, extra=extra
    )


def go_on(vocoder: SourceFilter) -> None:
    """New bins as the uppermost of the mel, without a correction of their level."""
    low, high = (int(hertz * vocoder.spec.n_fft / vocoder.spec.sample_rate) for hertz in GO_ON_FROM_HZ)
    for weights in (vocoder.leave.weight, vocoder.leave.bias):
        parts = weights.unflatten(0, (3, -1))  # a view: gain, share, phase
        parts[:, vocoder.mel_bins :] = parts[:, low:high].mean(1, keepdim=True)
        parts[0, vocoder.mel_bins :] = 0.0


def frames(vocoder: SourceFilter, batch: WaveBatch, seed: int) -> tuple[Tensor, Tensor]:
    """What the network knows of frames, and the correction of the level that is wanted: -> (n, C), (n, F)."""
    generator, spec = torch.Generator().manual_seed(seed), vocoder.spec
    chosen = (batch.band >= vocoder.band) & goes_on(batch.wav, spec)
    wav, mel, mask = batch.wav[chosen], batch.mel[chosen], batch.mask[chosen]
    narrow = LogMel(spec)(low_pass(wav, torch.full((len(wav),), spec.f_max), spec.sample_rate))
    mel = torch.where(torch.rand(len(wav), 1, 1, generator=generator) < 0.5, narrow, mel)
    seen: list[Tensor] = []
    hook = vocoder.leave.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    made = vocoder.spectra(mel, vocoder.read_pitch(mel)[1], *vocoder.excitation.draw(len(mel), generator))
    hook.remove()
    padded = functional.pad(wav[:, None], (spec.padding, spec.padding), mode="reflect")[:, 0]
    recorded = vocoder.excitation.transform(padded)
    difference = level(recorded, vocoder.mel_bins) - level(made, vocoder.mel_bins)
    limit = 0.97 * LIMIT_NATS
    wanted = LIMIT_NATS * (difference.clamp(-limit, limit) / LIMIT_NATS).atanh()
    inside = slice(EDGE_FRAMES, -EDGE_FRAMES)
    valid = mask[:, inside]
    return seen[0][:, inside][valid], wanted[:, inside][valid]


def goes_on(wav: Tensor, spec: AudioSpec) -> Tensor:
    """Whether there is anything above the mel, beside what is just below its edge: (B, N) -> (B,)."""
    power = torch.fft.rfft(wav).abs().square()
    hertz = torch.linspace(0.0, spec.sample_rate / 2, power.shape[-1])
    below, above = (
        power[:, (hertz > low * spec.f_max) & (hertz < high * spec.f_max)].mean(1)
        for low, high in ((0.8, 0.93), (1.07, 1.25))
    )
    return above > below * 10 ** (-DROP_DB / 10)


def level(spectra: Tensor, first: int) -> Tensor:
    """Log magnitude of the bins from one on, smoothed: (2, B, T, F) -> (B, T, F - first)."""
    magnitude = (spectra[..., first:].square().sum(0) + 1e-9).log() / 2
    half = SMOOTHED_BINS // 2
    return functional.avg_pool1d(
        functional.pad(magnitude, (half, half), mode="replicate"), SMOOTHED_BINS, stride=1
    )


def fit(known: Tensor, wanted: Tensor) -> Tensor:
    """Ridge regression with a constant: (n, C), (n, F) -> (C + 1, F)."""
    known = functional.pad(known, (0, 1), value=1.0)
    square = known.T @ known / len(known)
    square += RIDGE * torch.eye(len(square), dtype=square.dtype)
    return torch.linalg.solve(square, known.T @ wanted / len(known))


if __name__ == "__main__":
    main()
