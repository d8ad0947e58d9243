"""Discrete units: the codes of a recording as text, their bit rates, and speech from them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voiceae.conversion.arguments import Source, Target
from voiceae.conversion.embedding_files import require_model
from voiceae.conversion.voice import Voice
from voiceae.errors import ConfigError, ModelFileError, did_you_mean
from voiceae.io.filesystem import atomic_path, require_new
from voiceae.latent.recordings import bins_per_octave
from voiceae.latent.sampling import build_content

Codes = NDArray[np.int64]

_HEAD = re.compile(r"# voiceae units, model (?P<model>\w*), (?P<rate>[\d.]+) a second, (?P<form>\w+)")
_CLEAR = 0.5  # of a pitch distribution in three grid points: what counts as a pitch
# Share of a frame's pitch distribution that is one clear pitch, where units are spoken: voiced and unvoiced frames of a
# written melody, and, between the two, frames of which nothing was written.
_VOICED, _UNVOICED, _UNKNOWN = 0.95, 0.05, 0.7
_NO_PITCH = "-"


@dataclass(frozen=True)
class UnitLine:
    """The units of one recording.

    Attributes:
        name: of the recording.
        codes: (T',) one each code frame, or each run of equal ones where they were collapsed.
        semitones: (T',) pitch about the recording's median, NaN where unclear; None where it was not written.
    """

    name: str
    codes: Codes
    semitones: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class UnitText:
    """The units of several recordings, as one file holds them.

    Attributes:
        lines: a recording each.
        codes_per_second: rate of the code frames.
        collapsed: whether runs of equal codes are written once.
        model: fingerprint of the model.
    """

    lines: tuple[UnitLine, ...]
    codes_per_second: float
    collapsed: bool
    model: str


def require_units(voice: Voice) -> Any:
    """Discrete bottleneck of a model, which units need.

    Raises:
        ModelFileError: when it has another one.
    """
    bottleneck = voice.model.bottleneck
    if not hasattr(bottleneck, "lookup"):
        raise ModelFileError(
            f"model {voice.name}: has a {type(bottleneck).__name__}, units need a discrete one; "
            "train one with model/bottleneck=vq"
        )
    return bottleneck


def codebook(voice: Voice, codes: Codes) -> NDArray[np.float64]:
    """Look up the vectors of codes: (K,) -> (K, D)."""
    with torch.inference_mode():
        found = require_units(voice).lookup(torch.from_numpy(codes)[None].to(voice.device))
    return np.asarray(found[0].T.double().numpy(force=True))


def codes_per_second(voice: Voice) -> float:
    """Rate of a model's code frames, in hertz."""
    return voice.spec.frame_rate / voice.model.rate


def encode_units(voice: Voice, source: Source, name: str, *, pitch: bool = False) -> UnitLine:
    """Encode a recording as units.

    Args:
        voice: a model with a discrete bottleneck.
        source: the recording.
        name: to write beside them, less tabs and line ends.
        pitch: also keep the melody.

    Raises:
        ModelFileError: for a model without units.
        AudioError: for audio that cannot be used.
    """
    require_units(voice)
    content = voice.encode(source)
    if content.bottlenecked.codes is None:
        raise ModelFileError(
            f"model {voice.name}: its code frames have too many bits to be numbered as units"
        )
    codes = content.bottlenecked.codes[0].numpy(force=True).astype(np.int64)
    name, count, rate = " ".join(name.split()), len(codes), voice.model.rate
    if not pitch or not content.pitch.shape[1]:
        return UnitLine(name, codes, np.full(count, np.nan) if pitch else None)
    # The melody by code frame is the mean of its clear mel frames, NaN where there are none.
    around = functional.avg_pool1d(content.pitch[0].T[:, None], 3, 1, 1)[:, 0] * 3  # (T, K)
    mass, best = around.max(-1)
    semitones = 12 * (best.double() / bins_per_octave(voice) - content.pitch_centre[0].double())
    padding = (0, count * rate - len(semitones))
    parts = (mass > _CLEAR, semitones)
    clear, kept = (functional.pad(x.double(), padding).view(count, rate) for x in parts)
    known = clear.sum(1)
    mean = (kept * clear).sum(1) / known.clamp_min(1)
    melody = np.where(known.numpy(force=True) > 0, mean.numpy(force=True), np.nan)
    return UnitLine(name, codes, melody)


def decode_units(
    voice: Voice, line: UnitLine, speaker: Target, *, frames_each: int = 1, matching: float | None = None
) -> Tensor:
    """Decode units in a speaker's voice: -> mel (M, T).

    Without a written melody the pitch stays at the speaker's median.

    Args:
        voice: the model that the units are of.
        line: the units.
        speaker: whatever `convert` takes as a target.
        frames_each: code frames that every written code lasts; more than one for collapsed units.
        matching: as in `convert`.

    Raises:
        ConfigError: for codes that the model does not have, or none at all.
    """
    size = require_units(voice).size
    if not len(line.codes) or line.codes.min() < 0 or line.codes.max() >= size:
        raise ConfigError(f"{line.name}: the model's codes are 0 to {size - 1}, and at least one is needed")
    codes = np.repeat(line.codes, frames_each)
    melody = np.full(len(codes), np.nan) if line.semitones is None else np.repeat(line.semitones, frames_each)
    clear, rate = np.isfinite(melody), voice.model.rate
    clarity = np.where(clear, _VOICED, _UNVOICED if line.semitones is not None else _UNKNOWN)
    octaves = np.repeat(np.where(clear, melody, 0.0) / 12, rate)
    content = build_content(voice, codebook(voice, codes), np.repeat(clarity, rate), octaves)
    return voice.decode(content, speaker, matching=matching)


def collapse(codes: Codes) -> tuple[Codes, Codes]:
    """Collapse runs of equal codes: (T',) -> the code of each run, and how long it lasts."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    return codes[starts], np.diff(starts, append=len(codes))


@dataclass(frozen=True)
class BitRates:
    """Bit rates of units, as they are and entropy-coded.

    Attributes:
        size: codes that the model has.
        used: codes that occur.
        seconds: of speech.
        fixed: bits per second with a number of equal length for each code frame.
        entropy: with numbers as long as each code is rare.
        collapsed: likewise, each run sent once and its length forgotten.
        mean_run: code frames that a code lasts.
    """

    size: int
    used: int
    seconds: float
    fixed: float
    entropy: float
    collapsed: float
    mean_run: float


def bit_rates(lines: Iterable[UnitLine], size: int, rate: float) -> BitRates:
    """Bits per second of units that were not collapsed, by the counts of all lines together.

    Args:
        lines: at least one.
        size: codes that the model has.
        rate: code frames a second.
    """
    codes = [line.codes for line in lines]
    runs = [collapse(each)[0] for each in codes]
    frames, kept = np.concatenate(codes), np.concatenate(runs)
    seconds = len(frames) / rate
    return BitRates(
        size=size,
        used=len(np.unique(frames)),
        seconds=seconds,
        fixed=rate * float(np.log2(size)),
        entropy=rate * _entropy_bits(frames),
        collapsed=len(kept) / seconds * _entropy_bits(kept),
        mean_run=len(frames) / len(kept),
    )


def _entropy_bits(codes: Codes) -> float:
    counts = np.bincount(np.unique(codes, return_inverse=True)[1])
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum())


def write_units(path: Path, text: UnitText, *, force: bool = False) -> None:
    """Write a file of units: name, tab, codes, and where known tab and semitones.

    Raises:
        OutputError: for an existing file without `force`, or when it cannot be written.
    """
    require_new(path, force)
    form = "collapsed" if text.collapsed else "frames"
    rows = [f"# voiceae units, model {text.model}, {text.codes_per_second:.4f} a second, {form}"]
    for line in text.lines:
        codes = collapse(line.codes)[0] if text.collapsed else line.codes
        # Files may have names with the very signs that part fields and lines here.
        fields = [" ".join(line.name.replace("\t", " ").splitlines()), " ".join(map(str, codes))]
        if line.semitones is not None and not text.collapsed:
            pitches = (f"{each:.2f}" if np.isfinite(each) else _NO_PITCH for each in line.semitones)
            fields.append(" ".join(pitches))
        rows.append("\t".join(fields))
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="utf-8", errors="surrogateescape")


def read_units(path: Path, model: str = "") -> UnitText:
    """Read a file of units.

    Args:
        path: that `write_units` wrote.
        model: fingerprint of the model that is to speak them.

    Raises:
        ConfigError: when it is missing, or something in it is not units.
        EmbeddingError: when the units are those of another model.
    """
    try:
        head, *rows = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigError(f"{path}: cannot be read as units: {reason}") from None
    known = _HEAD.match(head)
    if known is None:
        raise ConfigError(f"{path}: does not begin as voiceae units encode writes it")
    require_model(path, known["model"], model)
    lines = []
    for place, row in enumerate(rows, start=2):
        if not row.strip():
            continue
        name, codes, *more = row.split("\t")[:3] if "\t" in row else ("", row)
        try:
            numbers = np.array([int(code) for code in codes.split()], np.int64)
            pitches = [math.nan if each == _NO_PITCH else float(each) for each in " ".join(more).split()]
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"{path}: line {place}: is not units: {error}") from None
        if more and len(pitches) != len(numbers):
            raise ConfigError(f"{path}: line {place}: {len(numbers)} codes, but {len(pitches)} pitches")
        lines.append(UnitLine(name, numbers, np.array(pitches) if more else None))
    if not lines:
        raise ConfigError(f"{path}: holds no units")
    return UnitText(tuple(lines), float(known["rate"]), known["form"] == "collapsed", known["model"])


def pick_line(text: UnitText, name: str | None) -> Sequence[UnitLine]:
    """Select the line of one recording, or all lines.

    Raises:
        ConfigError: for an unknown name.
    """
    found = [line for line in text.lines if name in (None, line.name)]
    if not found:
        raise ConfigError(
            f"{name}: no such recording among the units; {did_you_mean(str(name), (x.name for x in text.lines))}"
        )
    return found
