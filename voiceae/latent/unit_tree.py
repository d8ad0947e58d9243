"""Which units are alike and which phones they stand for: a dendrogram of the codebook above its phones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.batch import Failure
from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError
from voiceae.io import audio as audio_io
from voiceae.io.console import Progress
from voiceae.io.filesystem import FILE_ERRORS, reason
from voiceae.latent import plotting
from voiceae.latent.units import codes_per_second, encode_units
from voiceae.pretrained.scorers import PAUSE, SAMPLE_RATE, Recogniser, phones_at

# In the order of a phone chart, so that likes stand together: vowels front to back, then consonants by manner.
CHART = (
    *("IY", "IH", "EY", "EH", "AE", "AY", "AH", "ER", "AA", "AW", "AO", "OY", "OW", "UH", "UW"),
    *("W", "Y", "R", "L", "M", "N", "NG"),
    *("V", "DH", "Z", "ZH", "F", "TH", "S", "SH", "HH", "CH", "JH"),
    *("B", "D", "G", "P", "T", "K", PAUSE),
)
MAX_CODES = 1000
"""In a tree; of a bottleneck that combines bits there may be far more."""
_MAX_LABELS = 128  # numbers of six points below a tree of 26 inches


@dataclass(frozen=True)
class Purity:
    """Counts of codes against phones, and measures of how well they agree.

    Attributes:
        codes: (K,) that occur.
        phones: names, P.
        counts: (K, P) frames.
    """

    codes: NDArray[np.int64]
    phones: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def purity(self) -> float:
        """Share of frames whose phone is the most frequent one of their code."""
        return float(self.counts.max(1).sum() / self.counts.sum())

    @property
    def chance(self) -> float:
        """Purity if there were a single code: share of frames of the most frequent phone."""
        return float(self.counts.sum(0).max() / self.counts.sum())

    @property
    def information(self) -> float:
        """Mutual information of code and phone over the entropy of the phone, 0 to 1."""
        joint = self.counts / self.counts.sum()
        rows, columns = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            mutual = np.nansum(joint * np.log(joint / (rows * columns)))
            entropy = -np.nansum(columns * np.log(columns))
        return float(mutual / entropy) if entropy > 0 else 0.0

    def shuffled(self) -> Purity:
        """The same numbers of each code and of each phone, paired at random.

        With few frames a code even that looks pure, so this is what the figures of real codes are to be held against.
        """
        from scipy.stats import random_table

        drawn = random_table.rvs(self.counts.sum(1), self.counts.sum(0), size=1, random_state=0)[0]
        return Purity(self.codes, self.phones, drawn.astype(np.int64))

    def top(self, count: int) -> Purity:
        """The codes that occur most, in their order."""
        kept = np.sort(np.argsort(-self.counts.sum(1), kind="stable")[:count])
        return Purity(self.codes[kept], self.phones, self.counts[kept])

    def to_dict(self) -> dict[str, Any]:
        """Figures by name, and the likeliest phone of every code."""
        likeliest, shuffled = self.counts.argmax(1), self.shuffled()
        return {
            "frames": int(self.counts.sum()),
            "codes": len(self.codes),
            "purity": round(self.purity, 4),
            "purity_shuffled": round(shuffled.purity, 4),
            "purity_of_one_code": round(self.chance, 4),
            "information": round(self.information, 4),
            "information_shuffled": round(shuffled.information, 4),
            "phone": {str(c): self.phones[place] for c, place in zip(self.codes, likeliest, strict=True)},
        }


def count_phones(codes: Sequence[NDArray[np.int64]], phones: Sequence[Sequence[str]]) -> Purity:
    """Count codes against phones, frame by frame: n times (T',), n times T' names ->."""
    every, spoken = np.concatenate(codes), [name for line in phones for name in line]
    names = tuple(sorted(set(spoken), key=lambda name: (CHART.index(name) if name in CHART else 99, name)))
    used, row = np.unique(every, return_inverse=True)
    column = np.array([names.index(name) for name in spoken])
    counts = np.zeros((len(used), len(names)), np.int64)
    np.add.at(counts, (row, column), 1)
    return Purity(used, names, counts)


def align_phones(
    voice: Voice, recogniser: Recogniser | None, files: Iterable[Path], progress: Progress = iter
) -> tuple[Purity, list[Failure]]:
    """Encode recordings, and align their code frames with the phones of a recogniser.

    Args:
        voice: a model with units.
        recogniser: of the phones; None to count the codes alone, `Purity.phones` is then empty.
        files: the recordings.
        progress: wraps them, for a progress bar.

    Raises:
        AudioError: when no file can be used.
    """
    codes, phones, failures = [], [], []
    rate = codes_per_second(voice)
    for file in progress(files):
        try:
            line = encode_units(voice, file, file.name)
            recognised = recogniser.score(audio_io.load(file, SAMPLE_RATE).wav) if recogniser else None
        except FILE_ERRORS as error:
            failures.append(Failure(str(file), reason(error, file)))
            continue
        codes.append(line.codes)
        if recognised:
            phones.append(phones_at(recognised.phones, (np.arange(len(line.codes)) + 0.5) / rate))
    if not codes:
        first = failures[0].reason if failures else "none"
        raise AudioError(f"no recording could be used; the first: {first}")
    if recogniser:
        return count_phones(codes, phones), failures
    used, counts = np.unique(np.concatenate(codes), return_counts=True)
    return Purity(used, (), counts[:, None]), failures


def ward_tree(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ward's tree of vectors (1963), as scipy writes it: (K, D) -> (K - 1, 4)."""
    from scipy.cluster.hierarchy import linkage

    # Ordering the leaves costs time with the square of their number, and labels are not shown beyond 128 anyhow.
    return np.asarray(linkage(vectors, method="ward", optimal_ordering=len(vectors) <= 600))


def draw_tree(
    vectors: NDArray[np.float64],
    codes: NDArray[np.int64],
    purity: Purity | None,
    path: Path,
    *,
    force: bool = False,
) -> None:
    """Draw the tree of some codes, and below it which phones they stand for.

    Args:
        vectors: (K, D), at least two.
        codes: (K,) their numbers.
        purity: of the same codes; None where phones are not known.
        path: the picture.
        force: overwrite an existing file.

    Raises:
        OutputError: for an unknown suffix, an existing file without `force`, or a full disk.
    """
    from scipy.cluster.hierarchy import dendrogram

    figure = plotting.new_figure(float(np.clip(0.11 * len(codes), 9, 26)), 9.0 if purity else 4.6)
    plots = figure.subplots(2, 1, height_ratios=(1, 1.7), sharex=True) if purity else [figure.subplots()]
    title: dict[str, Any] = {"color": plotting.INK, "loc": "left", "fontsize": 11}
    ink: dict[str, Any] = {"color_threshold": 0, "above_threshold_color": plotting.INK}
    drawn = dendrogram(ward_tree(vectors), ax=plots[0], no_labels=True, **ink)
    order, right = np.array(drawn["leaves"]), 10 * len(codes)  # a dendrogram's leaves stand ten apart
    plots[0].set_title(f"{len(codes)} codes, by Ward's method", **title)
    plots[0].spines[["top", "right", "bottom"]].set_visible(False)
    plots[0].set_ylabel("distance")
    if purity:
        # Of each phone among the frames of a code.
        share = purity.counts / purity.counts.sum(1, keepdims=True)
        extent = (0, right, len(purity.phones) - 0.5, -0.5)
        style: dict[str, Any] = {"cmap": "magma_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        plots[1].imshow(share[order].T, aspect="auto", extent=extent, **style)
        plots[1].set_yticks(range(len(purity.phones)), purity.phones, fontsize=7)
        plots[1].tick_params(length=0)
        plots[1].set_title(
            f"phones that the recogniser heard: purity {purity.purity:.2f} (one code for all: {purity.chance:.2f}), "
            f"{purity.information:.0%} of the phone known from the code",
            **title,
        )
    numbers = [str(codes[row]) for row in order] if len(codes) <= _MAX_LABELS else []
    plots[-1].set_xticks(np.arange(5, right, 10)[: len(numbers)], numbers, rotation=90, fontsize=6)
    plots[-1].set_xlabel("code")
    plotting.save_figure(figure, path, force=force)
