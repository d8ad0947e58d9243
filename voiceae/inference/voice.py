"""`Voice`: a loaded model with its mel contract and vocoder, and everything one does with a voice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from voiceae import modelfile
from voiceae.audio import io
from voiceae.audio.io import Audio
from voiceae.audio.level import Levelled, normalise
from voiceae.audio.mel import LogMel
from voiceae.errors import AudioError
from voiceae.inference.bundled import find_model, find_vocoder
from voiceae.inference.heard import Colour, Embedding, Heard, checked
from voiceae.inference.level import at_level_of
from voiceae.inference.long import in_pieces, spans, whole_hops
from voiceae.inference.runtime import inference, resolve_device
from voiceae.inference.speakers import is_stored, read_stored
from voiceae.inference.target import Source, Target, downmixed, is_wave
from voiceae.nn.statistics import match_moments
from voiceae.specs import AudioSpec

if TYPE_CHECKING:
    from voiceae.models import Autoencoder, Content
    from voiceae.vocoders.base import Vocoder

SOURCE_SECONDS = 0.1
TARGET_SECONDS = 0.5
PIECE_SECONDS = 300.0
"""The network's norms are taken over the utterance; over five minutes they no longer change to the ear."""
OVERLAP_SECONDS = 1.0

_VOCODER_GFLOP_PER_SECOND = 0.5  # 32 iterations of Griffin-Lim; a network states its own


class Voice:
    """A model that is ready to convert.

    Args:
        model: the autoencoder, in eval mode on its device.
        spec: its mel contract.
        vocoder: of the same contract, on the same device.
        name: what to call it in messages.
        fingerprint: of the weights; stored embeddings carry it. Computed when empty.

    Raises:
        SpecMismatchError: when the vocoder has another mel contract.
    """

    def __init__(
        self, *, model: Autoencoder, spec: AudioSpec, vocoder: Vocoder, name: str = "", fingerprint: str = ""
    ) -> None:
        spec.require_same(vocoder.spec, ours="model", theirs="vocoder")
        self.model, self.spec, self.vocoder, self.name = model, spec, vocoder, name
        self.fingerprint = fingerprint or modelfile.checksum(model.state_dict())
        self.device = next((weight.device for weight in model.state_dict().values()), torch.device("cpu"))
        self.parameters = sum(weight.numel() for weight in model.parameters())
        self._transform = LogMel(spec).to(self.device)

    @cached_property
    def embedding_size(self) -> int:
        """Numbers in a speaker embedding, S."""
        with self._inference(1):
            return self.model.embed(torch.zeros(1, self.spec.n_mels, 1, device=self.device)).shape[-1]

    def convert(
        self, source: Source, target: Target, *, matching: float = 1.0, progress: bool = False
    ) -> Audio:
        """Say what `source` says in the voice of `target`: -> wav (N,).

        The result is at the model's rate, lasts as long as the source, and is as loud.

        Args:
            source: the sentence, at least 0.1 s.
            target: the voice, at least 0.5 s of it; several are averaged.
            matching: how far the result is given the target's per-bin statistics, 0 to 1.
            progress: show a bar over the pieces of a recording of more than five minutes.

        Raises:
            AudioError: for audio that is missing, damaged, silent or too short.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        voice = self.listen(target)
        levelled = self._levelled(source, SOURCE_SECONDS, "a source")
        converted = self._match(self._convert(self._mel(levelled.wav), voice, progress), voice, matching)
        wav = self._wav(converted)[: len(levelled.wav)]
        return Audio(wav=at_level_of(wav, levelled, self.spec.sample_rate), sample_rate=self.spec.sample_rate)

    def embed(self, source: Target) -> Embedding:
        """Speaker embedding: -> (S,), unit length.

        Args:
            source: whatever `convert` takes as a target.

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.5 s.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        return self.listen(source).speaker

    def listen(self, target: Target) -> Heard:
        """All that the model takes from a target, for use with many sources.

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.5 s.
            EmbeddingError: for a stored embedding that cannot be used.
        """
        if isinstance(target, Heard):
            return target
        if isinstance(target, np.ndarray | Tensor):
            vector = target.numpy(force=True) if isinstance(target, Tensor) else target
            return Heard(checked(vector, "target", self.embedding_size))
        if isinstance(target, str | Path) and is_stored(str(target)):
            stored = read_stored(str(target), self.fingerprint)
            return replace(stored, speaker=checked(stored.speaker, str(target), self.embedding_size))
        if isinstance(target, list | tuple) and not is_wave(target):
            return Heard.mean([self.listen(one) for one in target])
        levelled = self._levelled(target, TARGET_SECONDS, "a target")  # type: ignore[arg-type]
        return self._listen(self._mel(levelled.wav))

    def mix(self, targets: Sequence[Target], weights: Sequence[float]) -> Heard:
        """A voice between voices, itself a target.

        Args:
            targets: whatever `convert` takes as a target.
            weights: one number each; a negative one leads away from that voice.

        Raises:
            EmbeddingError: when numbers and targets do not match, or cancel out.
        """
        return Heard.mean([self.listen(target) for target in targets], weights)

    def mel(self, source: Source) -> Tensor:
        """Log-mel as the model hears it, at the common level: -> (M, T).

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.1 s.
        """
        return self._mel(self._levelled(source, SOURCE_SECONDS, "a source").wav)

    def encode(self, source: Source) -> Content:
        """What is said, without who says it: -> units (1, D, T').

        Raises:
            AudioError: for audio that is missing, damaged, silent or shorter than 0.1 s.
        """
        mel = self.mel(source)
        with self._inference(mel.shape[-1]):
            return self.model.encode(mel[None])

    def decode(self, content: Content, speaker: Target, *, matching: float = 1.0) -> Tensor:
        """Let a speaker say a content: -> mel (M, T).

        Args:
            content: from `encode`.
            speaker: whatever `convert` takes as a target.
            matching: as in `convert`.
        """
        voice = self.listen(speaker)
        with self._inference(content.frames):
            return self._match(self._decode(content, voice), voice, matching)

    def synthesise(self, mel: Tensor | NDArray[np.float32]) -> Audio:
        """Let the vocoder speak a mel: (M, T) -> wav (N,).

        Raises:
            AudioError: for another shape.
        """
        mel = torch.as_tensor(mel, dtype=torch.float32, device=self.device)
        if mel.dim() != 2 or mel.shape[0] != self.spec.n_mels or not mel.shape[1]:
            raise AudioError(f"mel of shape {tuple(mel.shape)}; the vocoder needs ({self.spec.n_mels}, T)")
        return Audio(wav=self._wav(mel), sample_rate=self.spec.sample_rate)

    def _convert(self, mel: Tensor, voice: Heard, progress: bool) -> Tensor:
        """(M, T) -> (M, T), a long one in pieces that all move the pitch alike."""
        long = len(self._spans(mel)) > 1
        centre = self._pitch_centre(mel) if long else None

        def convert(piece: Tensor) -> Tensor:
            with self._inference(piece.shape[-1]):
                content = self.model.encode(piece[None])
                return self._decode(content, voice, centre)

        pieces = tqdm(self._spans(mel), desc="convert", unit="piece", disable=not (progress and long))
        return in_pieces(mel, convert, pieces)

    def _decode(self, content: Content, voice: Heard, centre: float | None = None) -> Tensor:
        """-> (M, T); `centre` is where the source's pitch is, the content's own by default."""
        speaker = torch.as_tensor(voice.speaker, device=self.device)[None]
        octaves = None
        if voice.pitch_centre is not None:
            own = content.pitch_centre if centre is None else torch.full_like(content.pitch_centre, centre)
            octaves = voice.pitch_centre - own
        return self.model.decode(content, speaker, octaves=octaves)[0]

    def _match(self, mel: Tensor, voice: Heard, strength: float) -> Tensor:
        """(M, T) -> (M, T) with the statistics of the voice, where they are known."""
        if voice.colour is None:
            return mel
        mean, deviation = (
            torch.as_tensor(x, device=self.device)[None] for x in (voice.colour.mean, voice.colour.deviation)
        )
        frames = torch.tensor([voice.colour.frames], device=self.device)
        with self._inference(0):
            return match_moments(mel[None], mean, deviation, frames, strength=strength)[0]

    def _pitch_centre(self, mel: Tensor) -> float:
        """Median over the pieces of a long recording, octaves: (M, T) -> ()."""
        centres = []
        for start, stop in self._spans(mel):
            with self._inference(stop - start):
                piece = mel[None, :, start:stop]
                centres.append(float(self.model.pitch.centre(self.model.pitch(piece), piece)[0]))
        return float(np.median(centres))

    def _spans(self, mel: Tensor) -> list[tuple[int, int]]:
        rate = self.spec.seconds_to_frames
        return spans(mel.shape[-1], rate(PIECE_SECONDS), rate(OVERLAP_SECONDS))

    def _listen(self, mel: Tensor) -> Heard:
        """Mean over pieces of a long recording: (M, T) ->."""
        parts = []
        for start, stop in self._spans(mel):
            with self._inference(stop - start):
                traits = self.model.describe(mel[None, :, start:stop])
            mean, deviation = (x[0].numpy(force=True) for x in (traits.mel_mean, traits.mel_deviation))
            colour = Colour(mean, deviation, float(traits.loud_frames[0]))
            parts.append(
                Heard(traits.speaker[0].float().numpy(force=True), float(traits.pitch_centre[0]), colour)
            )
        return Heard.mean(parts)

    def _wav(self, mel: Tensor) -> NDArray[np.float32]:
        """(M, T) -> (N,)."""
        seconds = mel.shape[-1] / self.spec.frame_rate
        with inference(self.device, _VOCODER_GFLOP_PER_SECOND * seconds):
            return self.vocoder(mel[None])[0].float().cpu().numpy()

    def _mel(self, wav: NDArray[np.float32]) -> Tensor:
        """(N,) -> (M, T), with frames up to the last sample."""
        with self._inference(0):
            return self._transform(whole_hops(torch.from_numpy(wav).to(self.device), self.spec))

    def _levelled(self, source: Source, min_seconds: float, what: str) -> Levelled:
        """Audio at the model's rate and the common level."""
        heard = downmixed(*source) if isinstance(source, tuple) else source
        audio = io.load(heard, self.spec.sample_rate, min_seconds=min_seconds, what=what)
        return normalise(audio.wav, self.spec.sample_rate)

    def _inference(self, frames: int) -> AbstractContextManager[None]:
        """A convolution does two operations a weight and frame."""
        return inference(self.device, 2e-9 * self.parameters * frames)


def load(
    name_or_path: str | Path = "base", vocoder: str | Path = "default", device: str | torch.device = "auto"
) -> Voice:
    """Load a voice model, ready to convert.

    Args:
        name_or_path: a bundled name or a model file.
        vocoder: "griffinlim", a bundled name, a vocoder file or a HiFi-GAN folder; by default the best here.
        device: "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        ModelFileError: when the model is missing, damaged, foreign or from a newer format.
        VocoderError: when the vocoder cannot be loaded.
        SpecMismatchError: when model and vocoder do not share one mel.
        ConfigError: for a device that this machine does not have.
    """
    from voiceae.vocoders.base import load_vocoder

    where = resolve_device(device)
    path = find_model(name_or_path)
    loaded = modelfile.load(path, kind="autoencoder", device=where)
    spec = loaded.header.spec
    return Voice(
        model=loaded.module,  # type: ignore[arg-type]  # the file's kind says that it is one
        spec=spec,
        vocoder=load_vocoder(find_vocoder(vocoder, spec), spec, where),
        name=path.stem,
        fingerprint=loaded.header.checksum,
    )
