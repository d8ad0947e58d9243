"""How well embeddings tell speakers apart: equal error rates of a model's own encoder beside those of others.

All pairs of single clips of held-out speakers are trials. They are taken twice: as recorded, and with half of every
speaker's clips sent through one other channel. An encoder that has learnt channels rather than voices then takes one
speaker through two channels for two speakers, and two speakers through one channel for one.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from voiceae.conversion.voice import Voice
from voiceae.dsp.transmission_channel import TransmissionChannel
from voiceae.errors import ScorerError
from voiceae.evaluation.evaluation import Exclusion
from voiceae.evaluation.pairs import Clip
from voiceae.evaluation.scores import draw_natural_clips
from voiceae.evaluation.scoring import Progress, ScoringJob, no_progress, score_all, score_once
from voiceae.evaluation.verification.trials import RESAMPLES, SpeakerTrials, half_of_each
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.io.filesystem import FILE_ERRORS, reason
from voiceae.pretrained.scorers import SAMPLE_RATE, SPEAKER_ENCODERS, Measured, Wav, load_scorers
from voiceae.specs import MIN_TARGET_SECONDS

MIN_CLIPS = 2  # of a speaker: fewer make no pair of one speaker
MODEL = "model"
LABELS = {MODEL: "the model's own", "speaker": "Resemblyzer", "dvector": "d-vector"}
"""What a reader calls the encoders, by their names among the scorers."""

PROTOCOL = (
    "Speaker embeddings: every pair of single clips is a trial, of one speaker or of two. Intervals: 95 %, bootstrap "
    f"over speakers, {RESAMPLES} resamples. Two channels: half of every speaker's clips (rounded down, seeded) at "
    f"{SAMPLE_RATE / 1000:g} kHz through one other channel, drawn with the seed: equaliser, band limit, noise, MP3. "
    "The model hears the other clips at the rate they have."
)


class ModelEncoder:
    """The model's own speaker encoder, as `voiceae embed` uses it: `embedding`, (S,), unit length.

    Args:
        voice: the loaded model, whose rate the waves have.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self.version = voice.fingerprint.replace(":", "-")

    def score(self, wav: Wav) -> Measured:
        """Embed the speaker: (N,) at the model's rate -> `embedding`."""
        with warnings.catch_warnings():
            # Of noise and narrow bands, which are what is tried here.
            warnings.simplefilter("ignore")
            try:
                vector = self._voice.embed(Audio(wav, self._voice.spec.sample_rate))
            except FILE_ERRORS as error:
                raise ScorerError(reason(error)) from None
        return {"embedding": [round(float(value), 6) for value in vector]}


def measure_embeddings(
    voice: Voice,
    groups: Mapping[str, Sequence[Clip]],
    *,
    encoders: Sequence[str] = SPEAKER_ENCODERS,
    seed: int = 0,
    cache: Path | None = None,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> tuple[dict[str, Any], list[Exclusion]]:
    """Equal error rates of all encoders through one channel and through two, and the clips that were left out.

    Args:
        voice: the model.
        groups: clips by held-out speaker; those of one clip are impostors only.
        encoders: scorers to stand beside the model's own; those that are not installed are left out.
        seed: of clips, channel, noise and resampling.
        cache: as for `score_all`.
        jobs: likewise.
        progress: wraps the clips and the waves, for progress bars.

    Raises:
        CorpusError: when there are no two speakers, one of them with two clips.
    """
    clips, excluded = draw_natural_clips(groups, seed), list[Exclusion]()
    moved = half_of_each([clip.speaker for clip in clips], seed)
    channel, model = TransmissionChannel.draw(np.random.default_rng(seed)), ModelEncoder(voice)
    beside = tuple(load_scorers(tuple(encoders)).scorers)
    # By clip and whether it went through the other channel.
    found: dict[tuple[int, bool], dict[str, Measured | str]] = {}
    waves: dict[str, ScoringJob] = {}
    for index, clip in enumerate(progress(clips, len(clips), "embed")):
        try:
            for changed in (False, True) if moved[index] else (False,):
                own, others = _heard(clip, channel if changed else None, voice.spec.sample_rate, seed)
                found[index, changed] = {MODEL: score_once(MODEL, model, ScoringJob(own, ()), cache)}
                waves[f"{index}/{changed}"] = ScoringJob(others, beside)
        except FILE_ERRORS as error:
            found[index, False] = {MODEL: reason(error, clip.path)}
    if beside:
        scored = score_all(waves, cache=cache, jobs=jobs, progress=progress)
        for (index, changed), measured in found.items():
            measured.update(scored.get(f"{index}/{changed}", {}))
    # A clip that one encoder cannot take is left out for all, so that all are asked the same.
    bad: dict[int, str] = {}
    for (index, _), measured in found.items():
        for name, value in measured.items():
            if isinstance(value, str):
                bad.setdefault(index, value)
                excluded.append(Exclusion("embeddings", f"{clips[index].path}: {value}", name))
    kept = [index for index in range(len(clips)) if index not in bad]
    speakers = [clips[index].speaker for index in kept]
    table = {
        name: {
            "one_channel": _figures([(found[i, False], False) for i in kept], name, speakers, seed),
            "two_channels": _figures(
                [(found[i, bool(moved[i])], bool(moved[i])) for i in kept], name, speakers, seed
            ),
        }
        for name in (MODEL, *beside)
    }
    report = {
        "clips": len(kept),
        "speakers": len(set(speakers)),
        "through_other_channel": int(moved[kept].sum()),
        "channel": asdict(channel),
        "protocol": PROTOCOL,
        "encoders": table,
    }
    return report, excluded


def _heard(clip: Clip, channel: TransmissionChannel | None, sample_rate: int, seed: int) -> tuple[Wav, Wav]:
    """A clip at the model's rate and at that of the scorers, behind a channel if one is given: -> (N,), (N',)."""
    wav = audio_io.load(clip.path, SAMPLE_RATE, min_seconds=MIN_TARGET_SECONDS, what="a clip").wav
    if channel is None:
        return audio_io.load(clip.path, sample_rate).wav, wav
    noise = np.random.default_rng([seed, zlib.crc32(wav.tobytes())])  # every clip has its own
    changed = channel.apply(wav, SAMPLE_RATE, noise)
    return audio_io.load(Audio(changed, SAMPLE_RATE), sample_rate).wav, changed


def _figures(
    clips: Sequence[tuple[Mapping[str, Any], bool]], encoder: str, speakers: Sequence[str], seed: int
) -> dict[str, Any]:
    """Equal error rate of one encoder, and mean cosines: measured clips, and whether each was moved ->."""
    vectors = np.array([measured[encoder]["embedding"] for measured, _ in clips]).reshape(len(clips), -1)
    trials, moved = SpeakerTrials(vectors, speakers), np.array([changed for _, changed in clips])
    figures = {
        "equal_error": asdict(trials.interval(seed)),
        "threshold": trials.equal_error().threshold,
        "same": float(trials.cosines[trials.alike].mean()),
        "different": float(trials.cosines[~trials.alike].mean()),
    }
    across = moved[trials.one] != moved[trials.other]
    for name, chosen in (
        ("same_across_channels", trials.alike & across),
        ("different_in_one_channel", ~trials.alike & ~across),
    ):
        if moved.any() and chosen.any():
            figures[name] = float(trials.cosines[chosen].mean())
    return figures


def embedding_cells(embeddings: Mapping[str, Any]) -> list[list[str]]:
    """Cells of the table of equal error rates, its head first."""

    def percent(figures: Mapping[str, Any]) -> str:
        rate = figures["equal_error"]
        return f"{rate['mean']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]"

    head = [
        "encoder",
        "equal error rate, one channel",
        "two channels",
        "one speaker, two channels",
        "two, one",
    ]
    rows = [
        [
            LABELS.get(name, name),
            percent(figures["one_channel"]),
            percent(figures["two_channels"]),
            *(
                f"{figures['two_channels'].get(cosine, float('nan')):.2f}"
                for cosine in ("same_across_channels", "different_in_one_channel")
            ),
        ]
        for name, figures in embeddings["encoders"].items()
    ]
    return [head, *rows]
