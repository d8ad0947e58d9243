"""The model, its mel and its vocoder on torch, on a CPU or a GPU.

Below the backend: the two steps between content and a finished mel that depend on the target, pitch and statistics.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from voiceae.assets import find_model, find_vocoder
from voiceae.conversion.backends.base import EncodedSpeech, Floats
from voiceae.conversion.speaker_profile import Embedding, MelStatistics, SpeakerProfile, pool_timbre
from voiceae.dsp.activity import MIN_PITCH_CONFIDENCE
from voiceae.dsp.mel import LogMel
from voiceae.dsp.statistics import CovarianceMatch, active_moments, covariance_match, match_moments
from voiceae.hardware import inference, resolve_device
from voiceae.io import modelfile
from voiceae.models import Autoencoder, BottleneckOutput, Content, Timbre, VoiceTraits
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.load import load_vocoder

# Counted for 32 iterations of Griffin-Lim; only the number of threads hangs on it.
_VOCODER_GFLOP_PER_SECOND = 0.5


class TorchBackend:
    """The network, and what is around it.

    Args:
        model: the autoencoder, in eval mode on its device.
        spec: its mel contract.
        vocoder: of the same contract, on the same device.
        name: what to call it in messages.
        fingerprint: of the weights; computed when empty.

    Attributes:
        transform: wave -> log-mel.
        device: where all of it is.
        parameters: numbers that the model has learned.

    Raises:
        SpecMismatchError: when the vocoder has another mel contract.
    """

    runtime = "torch"
    whole_seconds = 300.0  # longer sources are converted in chunks, in memory that does not grow with them

    def __init__(
        self, *, model: Autoencoder, spec: AudioSpec, vocoder: Vocoder, name: str = "", fingerprint: str = ""
    ) -> None:
        spec.require_same(vocoder.spec, ours="model", theirs="vocoder")
        self.model, self.spec, self.vocoder, self.name = model, spec, vocoder, name
        self.fingerprint = fingerprint or modelfile.checksum(model.state_dict())
        self.device = next((weight.device for weight in model.state_dict().values()), torch.device("cpu"))
        self.parameters = sum(weight.numel() for weight in model.parameters())
        self.matching = model.matching
        self.transform = LogMel(spec).to(self.device)

    @cached_property
    def embedding_size(self) -> int:
        """Numbers in a speaker embedding, S."""
        with self.inference(1):
            return self.model.embed(torch.zeros(1, self.spec.n_mels, 1, device=self.device)).shape[-1]

    @property
    def timbre_dim(self) -> int:
        """Numbers in a timbre token, E; 0 for a model that looks up none."""
        return self.model.timbre.dim

    @property
    def reads_pitch(self) -> bool:
        """Whether the model has a pitch stream."""
        return bool(getattr(self.model.pitch, "n_bins", 0))

    def features(self, wav: Floats) -> Floats:
        """Log-mel of a wave, with frames up to its last sample: (N,) -> (M, T)."""
        with self.inference(0):
            whole = torch.nn.functional.pad(self.tensor(wav), (0, self.spec.pad_to_hop(len(wav))))
            return array(self.transform(whole))

    def embed(self, mel: Floats) -> Embedding:
        """Speaker embedding of a reference: mel (M, T) -> (S,), unit length."""
        with self.inference(mel.shape[1]):
            return array(self.model.embed(self.tensor(mel)[None])[0])

    def describe(self, mel: Floats) -> SpeakerProfile:
        """All that a conversion needs of a reference, but for the covariance: mel (M, T) -> profile."""
        with self.inference(mel.shape[1]):
            traits = self.model.describe(self.tensor(mel)[None])
            mean, deviation = array(traits.mel_mean[0]), array(traits.mel_deviation[0])
            statistics = MelStatistics(mean, deviation, float(traits.active_frames[0]))
            tokens = array(traits.timbre.tokens[0]) if traits.timbre is not None and self.timbre_dim else None
            timbre = pool_timbre([(1.0, tokens)])
            return SpeakerProfile(array(traits.speaker[0]), _known(known_centre(traits)), statistics, timbre)

    def encode(self, mel: Floats) -> EncodedSpeech:
        """What is said: mel (M, T) -> units and pitch."""
        with self.inference(mel.shape[1]):
            content = self.model.encode(self.tensor(mel)[None])
            return EncodedSpeech(array(content.units), array(content.pitch), _known(known_centre(content)))

    def decode(self, speech: EncodedSpeech, profile: SpeakerProfile, matching: float) -> Floats:
        """Say it in a voice, with the voice's mean and deviation of every bin: -> mel (M, T)."""
        with self.inference(speech.pitch.shape[-1]):
            units = self.tensor(speech.units)
            centre = torch.full((1,), 0.0 if speech.pitch_centre is None else speech.pitch_centre)
            content = Content(
                units, BottleneckOutput(units), self.tensor(speech.pitch), centre.to(self.device)
            )
            known = math.nan if speech.pitch_centre is None else speech.pitch_centre
            mel = decode(self.model, content, profile, known)
            wanted = profile.mel_statistics
            return array(mel if wanted is None else with_moments(mel, wanted, matching))

    def vocode(self, mel: Floats) -> Floats:
        """Log-mel to wave: (M, T) -> (T * hop_length,)."""
        seconds = mel.shape[-1] / self.spec.frame_rate
        with inference(self.device, _VOCODER_GFLOP_PER_SECOND * seconds):
            return array(self.vocoder(self.tensor(mel)[None])[0])

    def tensor(self, values: Floats) -> Tensor:
        """The array on the model's device, sharing memory where that is the CPU."""
        return torch.from_numpy(values).to(self.device)

    def inference(self, frames: int) -> AbstractContextManager[None]:
        """Inference mode, with threads for so many frames: a convolution does two operations a weight and frame."""
        return inference(self.device, 2e-9 * self.parameters * frames)


def array(values: Tensor) -> Floats:
    """A tensor of any device and precision as float32 of numpy."""
    numbers: Floats = values.float().numpy(force=True)
    return numbers


def _known(centre: float) -> float | None:
    return None if math.isnan(centre) else centre


def load_backend(name_or_path: str | Path, vocoder: str | Path, device: str | torch.device) -> TorchBackend:
    """Load a model and its vocoder; see `voiceae.load`."""
    where = resolve_device(device)
    path = find_model(name_or_path)
    loaded = modelfile.load(path, kind="autoencoder", device=where)
    spec = loaded.header.spec
    return TorchBackend(
        model=loaded.module,  # type: ignore[arg-type]  # the file's kind says that it is one
        spec=spec,
        vocoder=load_vocoder(find_vocoder(vocoder, spec), spec, where),
        name=path.stem,
        fingerprint=loaded.header.checksum,
    )


Moments = tuple[Tensor, Tensor, Tensor]
"""What `active_moments` gives: mean and deviation (1, M), and number (1,), of active frames."""


def decode(
    model: Autoencoder, content: Content, profile: SpeakerProfile, centre: float | None = None
) -> Tensor:
    """Content in a voice, its pitch moved to the voice's: -> (M, T).

    Args:
        model: the network.
        content: of one source.
        profile: the voice.
        centre: where the source's pitch is, octaves, NaN where that is not known; the content's own by default.
    """
    device = content.pitch_centre.device
    embedding = torch.as_tensor(profile.embedding, device=device)[None]
    octaves = None
    own = known_centre(content) if centre is None else centre
    if profile.pitch_centre is not None and not math.isnan(own):
        octaves = torch.full_like(content.pitch_centre, profile.pitch_centre - own)
    timbre = None if profile.timbre is None else Timbre(torch.as_tensor(profile.timbre, device=device)[None])
    return model.decode(content, embedding, timbre=timbre, octaves=octaves)[0]


def known_centre(content: Content | VoiceTraits) -> float:
    """Where the pitch of one recording is, octaves; NaN where it has none that can be relied on."""
    sure = getattr(content, "pitch_confidence", None)
    reliable = sure is None or float(sure[0]) >= MIN_PITCH_CONFIDENCE
    return float(content.pitch_centre[0]) if reliable else math.nan


@dataclass(frozen=True)
class SourceStatistics:
    """What a converted mel is like as a whole, and what follows from that for each of its pieces.

    Attributes:
        moments: of it.
        covariance_match: brings it to the target's covariance after its moments were matched; None where it does not.
    """

    moments: Moments
    covariance_match: CovarianceMatch | None


def source_statistics(mel: Tensor, profile: SpeakerProfile, strength: float) -> SourceStatistics:
    """Statistics of a converted mel (M, T), or of a sample of it that stands for the whole.

    Args:
        mel: as it was decoded.
        profile: the voice that it is to be given the statistics of.
        strength: as in `match`.
    """
    moments, wanted = active_moments(mel[None]), profile.mel_statistics
    if wanted is None or wanted.covariance is None or not strength:
        return SourceStatistics(moments, None)
    matched = with_moments(mel, wanted, strength, moments).numpy(force=True)
    return SourceStatistics(moments, covariance_match(matched, wanted.covariance, wanted.frames, strength))


def match(
    mel: Tensor, profile: SpeakerProfile, strength: float, own: SourceStatistics | None = None
) -> Tensor:
    """Give a mel the statistics of the voice, where they are known: (M, T) -> (M, T).

    Args:
        mel: converted.
        profile: the voice.
        strength: from 0, nothing, to 1, all of it.
        own: statistics of the whole, where the mel is a piece.
    """
    if profile.mel_statistics is None:
        return mel
    own = source_statistics(mel, profile, strength) if own is None else own
    matched = with_moments(mel, profile.mel_statistics, strength, own.moments)
    if own.covariance_match is None:
        return matched
    return torch.from_numpy(own.covariance_match(matched.numpy(force=True))).to(mel.device)


def with_moments(mel: Tensor, wanted: MelStatistics, strength: float, own: Moments | None = None) -> Tensor:
    """Give a mel the voice's mean and deviation of every bin: (M, T) -> (M, T).

    Args:
        mel: natural log.
        wanted: statistics of the voice.
        strength: as in `match`.
        own: moments of the whole, where the mel is a piece.
    """
    mean, deviation = (torch.as_tensor(x, device=mel.device)[None] for x in (wanted.mean, wanted.deviation))
    frames = torch.tensor([wanted.frames], device=mel.device)
    return match_moments(mel[None], mean, deviation, frames, strength=strength, own=own)[0]
