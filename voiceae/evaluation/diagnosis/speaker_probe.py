"""Whether the units of speakers that the model never heard tell who speaks: a probe on their mean and deviation.

Recordings are encoded whole, as conversion encodes them. Instance norm takes the mean of its input away, so that what
is left of a voice hides in how far the units swing; the probe is given both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from voiceae.conversion.voice import Voice
from voiceae.errors import CorpusError
from voiceae.evaluation.diagnosis import Finding, Verdict, grade
from voiceae.evaluation.diagnosis.leakage import CHANCE_DEVIATIONS, MIN_MEL_SHARE, leaked_share
from voiceae.evaluation.pairs import Clip
from voiceae.evaluation.scores import COVERAGE, RESAMPLES, Interval
from voiceae.evaluation.scoring import Progress, no_progress
from voiceae.io.filesystem import FILE_ERRORS

Array = NDArray[np.float64]

MIN_CLIPS, MIN_SPEAKERS = 4, 4  # two clips to fit and two to score, and a chance that differs from certainty
MAX_CLIPS = 20  # so that no speaker is so frequent that guessing that one beats chance
# On the scale of `leaked_share`: among 30 speakers 35 and 71 % of the clips.
WARNING, FAILED = 0.69, 0.9
# Of the logistic regression on standardised features (scikit-learn's C): as few clips a speaker as there are to fit
# want a strong one.
INVERSE_PENALTY = 0.1
MAX_ITERATIONS = 2000  # until L-BFGS has converged; 100 are too few for hundreds of features


def unit_statistics(units: Tensor) -> Array:
    """Mean and deviation of every unit over a clip: (1, D, T') -> (2 D,)."""
    frames = units[0].double().numpy(force=True)
    return np.concatenate([frames.mean(axis=1), frames.std(axis=1)])


def halves(speakers: Sequence[str], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Clips to fit and clips to score: half of every speaker's each, the odd one to fit: (n,) -> (n,), (n,)."""
    rng, owner = np.random.default_rng(seed), np.asarray(speakers)
    scored = np.zeros(len(owner), bool)
    for name in np.unique(owner):
        own = rng.permutation(np.flatnonzero(owner == name))
        scored[own[: len(own) // 2]] = True
    return ~scored, scored


def probe(
    features: Array, labels: Sequence[str], fit: NDArray[np.bool_], scored: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of the scored clips a logistic regression names right: (n, F), (n,) -> (scored,).

    Args:
        features: of all clips.
        labels: speakers, or what to take for them.
        fit: clips that the probe learns from.
        scored: clips that it is asked about.
    """
    from sklearn.linear_model import LogisticRegression

    names = np.asarray(labels)
    mean, deviation = features[fit].mean(axis=0), features[fit].std(axis=0)
    scaled = (features - mean) / np.where(
        deviation > 1e-6, deviation, np.inf
    )  # what never varies says nothing
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=MAX_ITERATIONS)
    model.fit(scaled[fit], names[fit])
    right: NDArray[np.bool_] = model.predict(scaled[scored]) == names[scored]
    return right


def probe_units(
    voice: Voice, groups: Mapping[str, Sequence[Clip]], *, seed: int = 0, progress: Progress = no_progress
) -> Finding:
    """Encode clips of unseen speakers and probe their units.

    Args:
        voice: the model.
        groups: clips by speaker, of speakers that training never heard.
        seed: of the clips, the halves and the shuffling.
        progress: shows how far it is.

    Raises:
        CorpusError: when fewer than four speakers have four clips that can be read.
    """
    clips = [clip for name in groups for clip in _some(groups[name], np.random.default_rng(seed))]
    units, mels, speakers = list[Array](), list[Array](), list[str]()
    for clip in progress(clips, len(clips), "encoding"):
        try:
            mel = voice.mel(clip.path)
        except FILE_ERRORS:
            continue  # damaged or silent; who then has too few clips is left out below
        units.append(unit_statistics(voice.encode_mel(mel).units))
        mels.append(unit_statistics(mel[None]))
        speakers.append(clip.speaker)
    names, counts = np.unique(np.asarray(speakers, str), return_counts=True)
    able = names[counts >= MIN_CLIPS]
    if len(able) < MIN_SPEAKERS:
        raise CorpusError(
            f"{len(able)} unseen speakers with {MIN_CLIPS} clips; the probe needs {MIN_SPEAKERS}; give more speech"
        )
    rows = [index for index, name in enumerate(speakers) if name in able]
    return find_voice_in_units(
        np.array(units)[rows], np.array(mels)[rows], [speakers[row] for row in rows], seed
    )


def _some(clips: Sequence[Clip], rng: np.random.Generator) -> list[Clip]:
    return [clips[index] for index in sorted(rng.permutation(len(clips))[:MAX_CLIPS])]


def find_voice_in_units(units: Array, mels: Array, speakers: Sequence[str], seed: int) -> Finding:
    """Probe statistics of the units; beside them those of the mel, and the units with shuffled labels.

    Args:
        units: (n, 2 D) statistics of the units.
        mels: (n, 2 M) statistics of the mels, where the voice is plain.
        speakers: (n,) who speaks.
        seed: of the halves, the shuffling and the interval.
    """
    fit, scored = halves(speakers, seed)
    shuffled = np.random.default_rng(seed).permutation(np.asarray(speakers))
    right = {
        "units": probe(units, speakers, fit, scored),
        "mel": probe(mels, speakers, fit, scored),
        "shuffled": probe(units, list(shuffled), fit, scored),
    }
    accuracy = {name: float(each.mean()) for name, each in right.items()}
    interval = _interval_over_speakers(right["units"], np.asarray(speakers)[scored], seed)
    count, trials = len(set(speakers)), int(scored.sum())
    verdict, says = _verdict(accuracy, count, trials)
    return Finding(
        area="probe",
        verdict=verdict,
        reason=(
            f"{says}; mean and deviation of the units name one of {count} unseen speakers in {accuracy['units']:.0%} "
            f"[{interval.low:.0%}, {interval.high:.0%}] of {trials} clips (chance {1 / count:.1%}, shuffled labels "
            f"{accuracy['shuffled']:.1%}, the mel's own {accuracy['mel']:.0%})"
        ),
        figures={
            "speakers": count,
            "clips_to_fit": int(fit.sum()),
            "clips_scored": trials,
            "chance": 1 / count,
            "accuracy": accuracy,
            "interval": [interval.low, interval.high],
            "leaked_share": leaked_share(accuracy["units"], count),
        },
        series={"accuracy": np.array(list(accuracy.values()))},
    )


def _interval_over_speakers(right: NDArray[np.bool_], owner: NDArray[np.str_], seed: int) -> Interval:
    """Share of right answers with its interval by the bootstrap over speakers, whose clips stand or fall together."""
    names = np.unique(owner)
    hits = np.array([right[owner == name].sum() for name in names])
    clips = np.array([(owner == name).sum() for name in names])
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    rates = hits[drawn].sum(axis=1) / clips[drawn].sum(axis=1)
    low, high = np.quantile(rates, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Interval(float(right.mean()), float(low), float(high), len(names))


def _verdict(accuracy: Mapping[str, float], speakers: int, trials: int) -> tuple[Verdict, str]:
    chance = 1 / speakers
    noise = math.sqrt(chance * (1 - chance) / trials)
    if accuracy["shuffled"] > chance + CHANCE_DEVIATIONS * noise + 1 / trials:
        return Verdict.FAILED, "a probe names shuffled labels as well, so it means nothing: clips repeat"
    if leaked_share(accuracy["mel"], speakers) < MIN_MEL_SHARE:
        return Verdict.WARNING, "not even the mel tells these speakers apart, so no leak can show"
    verdict = grade(leaked_share(accuracy["units"], speakers), WARNING, FAILED)
    says = {
        Verdict.OK: "the units say little of a new voice",
        Verdict.WARNING: "the units say something of a new voice",
        Verdict.FAILED: "the units tell new voices: narrow the bottleneck, or punish what they keep of the voice",
    }
    return verdict, says[verdict]
