"""New speakers and new contents, drawn from a prior or from the aggregated posterior, and decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceae.conversion.arguments import Source
from voiceae.conversion.speaker_profile import MelStatistics, SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.dsp.loudness import normalise
from voiceae.errors import ModelFileError
from voiceae.io.audio import Audio
from voiceae.io.console import Progress
from voiceae.latent.posterior import Array, ContentPosterior, Melody, Posterior, VoicePosterior
from voiceae.latent.recordings import bins_per_octave
from voiceae.models import BottleneckOutput, Content

_READ_SPEECH = Melody(deviation=0.2, steadiness=0.95)  # of read speech, about; a prior says nothing of it
_PRIOR_CLARITY = 0.5  # half a clear pitch, half none: the prior says nothing of voicing either
_WIDTH_BINS = 0.6  # standard deviation of a clear pitch on the grid: 98 % of its mass lies in three points
_CENTRE_OCTAVES = 2.0  # above the lowest pitch: where a speaker is placed whose own is not known


def random_profile(
    voice: Voice, posterior: VoicePosterior | None, rng: np.random.Generator
) -> SpeakerProfile:
    """Draw the profile of a speaker that does not exist.

    Args:
        voice: the model.
        posterior: of voices; None for the prior: any direction alike, without pitch and mel statistics.
        rng: of the draw.
    """
    if posterior is None:
        vector = rng.standard_normal(voice.embedding_size)
        return SpeakerProfile((vector / np.linalg.norm(vector)).astype(np.float32))
    row = posterior.offset + posterior.scale * posterior.mixture.sample(1, rng)[0]
    size, mels = posterior.size, (len(row) - posterior.size - 1) // 2
    speaker, (pitch,), mean, log_deviation = np.split(row, [size, size + 1, size + 1 + mels])
    deviation = np.exp(log_deviation).astype(np.float32)
    statistics = MelStatistics(mean.astype(np.float32), deviation, float(posterior.frames))
    return SpeakerProfile((speaker / np.linalg.norm(speaker)).astype(np.float32), float(pitch), statistics)


def random_content(
    voice: Voice,
    posterior: ContentPosterior | None,
    seconds: float,
    rng: np.random.Generator,
    *,
    independent: bool = False,
) -> Content:
    """Draw new content: units (1, D, T') with a pitch contour about the middle of the pitch grid.

    Args:
        voice: the model.
        posterior: of code frames; None for the prior, which draws every frame by itself.
        seconds: of it.
        rng: of the draw.
        independent: draw every frame by itself.

    Raises:
        ModelFileError: when the model has no prior.
    """
    frames = voice.spec.seconds_to_frames(seconds)
    count = -(-frames // voice.model.rate)
    if posterior is None:
        # Independent frames of the prior that the bottleneck was trained against.
        bottleneck: Any = voice.model.bottleneck
        clarity, melody = np.full(count, _PRIOR_CLARITY), _READ_SPEECH
        if hasattr(bottleneck, "posterior"):
            units = rng.standard_normal((count, bottleneck.dim))
        elif hasattr(bottleneck, "lookup"):
            codes = torch.from_numpy(rng.integers(0, bottleneck.size, (1, count))).to(voice.device)
            units = np.asarray(bottleneck.lookup(codes)[0].T.double().numpy(force=True))
        else:
            raise ModelFileError(
                f"model {voice.name}: its {type(bottleneck).__name__} has no prior to draw from; "
                "draw from the aggregated posterior"
            )
    else:
        chain = random_chain(posterior, count, rng, independent=independent)
        noise = random_noise(posterior.persistence, chain, rng, independent=independent)
        units, clarity = posterior.mixture.place(chain, noise), posterior.clarity[chain]
        melody = posterior.melody
    octaves = random_melody(melody, frames, rng)
    return build_content(voice, units, np.repeat(clarity, voice.model.rate)[:frames], octaves)


def random_chain(
    posterior: ContentPosterior, count: int, rng: np.random.Generator, *, independent: bool = False
) -> NDArray[np.int64]:
    """Draw a Markov chain of components: -> (count,)."""
    weights = posterior.mixture.weights
    if independent:
        return rng.choice(len(weights), count, p=weights)
    upper = posterior.transitions.cumsum(1)  # its last column may fall short of 1, hence the minimum below
    chain = np.empty(count, np.int64)
    chain[0] = rng.choice(len(weights), p=weights)
    for place, level in enumerate(rng.random(count - 1), start=1):
        chain[place] = min(int(np.searchsorted(upper[chain[place - 1]], level)), len(weights) - 1)
    return chain


def random_noise(
    persistence: Array, chain: NDArray[np.int64], rng: np.random.Generator, *, independent: bool = False
) -> Array:
    """Draw noise that is correlated between neighbours of a component: (D,), (T',) -> (T', D), each frame N(0, I)."""
    noise = rng.standard_normal((len(chain), len(persistence)))
    if independent:
        return noise
    fresh = np.sqrt(1 - persistence**2)  # keeps the variance of the process at one
    for place in range(1, len(chain)):
        if chain[place] == chain[place - 1]:
            noise[place] = persistence * noise[place - 1] + fresh * noise[place]
    return noise


def random_melody(melody: Melody, frames: int, rng: np.random.Generator) -> Array:
    """Draw a pitch contour in octaves about its centre: -> (T,)."""
    noise = rng.standard_normal(frames)
    fresh = np.sqrt(1 - melody.steadiness**2)
    for place in range(1, frames):
        noise[place] = melody.steadiness * noise[place - 1] + fresh * noise[place]
    return np.asarray(melody.deviation * noise)


def build_content(voice: Voice, units: Array, clarity: Array, octaves: Array) -> Content:
    """Content from its parts: units (T', D), clarity (T,), melody (T,) ->.

    Args:
        voice: the model whose codes these are.
        units: what the decoder is given.
        clarity: how much of each frame's pitch distribution is one pitch; the rest is spread over the grid.
        octaves: of that pitch, about the content's centre.
    """
    grid = voice.model.pitch.n_bins
    per_octave = bins_per_octave(voice)
    centre = min(_CENTRE_OCTAVES, grid / per_octave / 2) if grid else 0.0
    pitch = pitch_distributions(grid, (centre + octaves) * per_octave, clarity)
    tensor = torch.as_tensor(units.T[None], dtype=torch.float32, device=voice.device)
    return Content(
        features=tensor[..., :0],
        bottlenecked=BottleneckOutput(tensor),
        pitch=pitch[None].to(voice.device),
        pitch_centre=torch.tensor([centre], device=voice.device),
    )


def pitch_distributions(grid: int, places: Array, clarity: Array) -> Tensor:
    """Distributions over a grid, a bump at a place and a floor: (T,) grid positions, (T,) -> (K, T)."""
    if not grid:
        return torch.zeros(0, len(places))
    apart = np.arange(grid)[:, None] - np.clip(places, 0, grid - 1)
    bump = np.exp(-0.5 * np.square(apart / _WIDTH_BINS))
    mixed = clarity * bump / bump.sum(0) + (1 - clarity) / grid
    return torch.as_tensor(mixed, dtype=torch.float32)


@dataclass(frozen=True)
class SamplingPlan:
    """What to draw, and how much of it.

    Attributes:
        count: samples.
        seconds: of each content.
        seed: of all of them; a sample is the same however many follow it.
        independent: draw every frame by itself.
        source: a sentence to say instead of new contents.
        target: a voice to speak in instead of new ones.
    """

    count: int
    seconds: float
    seed: int = 0
    independent: bool = False
    source: Source | None = None
    target: SpeakerProfile | None = None


def draw_samples(
    voice: Voice, posterior: Posterior | None, plan: SamplingPlan, progress: Progress = iter
) -> list[Audio]:
    """Draw voices and contents, and decode them: -> one sound each, at the common level.

    Args:
        voice: the model.
        posterior: where they are drawn; None for the prior.
        plan: what is drawn.
        progress: wraps the samples, for a progress bar.

    Raises:
        ModelFileError: for contents of a prior that the model does not have.
        AudioError: for a source that cannot be used.
    """
    voices, contents = (posterior.voices, posterior.content) if posterior else (None, None)
    samples = []
    for number in progress(range(plan.count)):
        # A seed of its own for each, so that a sample does not depend on how many are drawn.
        rng = np.random.default_rng((plan.seed, number))
        speaker = plan.target or random_profile(voice, voices, rng)
        if plan.source is not None:
            samples.append(voice.convert(plan.source, speaker))
            continue
        content = random_content(voice, contents, plan.seconds, rng, independent=plan.independent)
        audio = voice.synthesise(voice.decode(content, speaker))
        samples.append(Audio(normalise(audio.wav, audio.sample_rate).wav, audio.sample_rate))
    return samples
