"""One evaluation: make the waves of all rows, score them, and turn the measurements into figures by pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voiceae.errors import AudioError, ScorerError
from voiceae.evaluation.pairs import Clip, Pair
from voiceae.evaluation.scores import (
    NaturalScores,
    content_scores,
    draw_natural_clips,
    mel_cepstral_distortion,
    pitch_scores,
    score_natural_speech,
    speaker_scores,
)
from voiceae.evaluation.scoring import Measurements, Progress, ScoringJob, no_progress, score_all
from voiceae.evaluation.systems import ROWS, SUBSET_ROWS, SystemRunner
from voiceae.io.filesystem import FILE_ERRORS, reason
from voiceae.pretrained.scorers import Measured, load_scorers

Values = dict[str, dict[str, float]]
"""Numbers of one pair: row -> figure -> value."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of one evaluation.

    Attributes:
        scorers: names of those to use.
        seed: of everything drawn.
        subset: pairs that copy-synthesis and reconstruction are made of.
        jobs: processes that score.
        cache: folder of earlier scores; None to score everything anew.
    """

    scorers: tuple[str, ...] = ("speaker", "content", "mos", "pitch", "mcd")
    seed: int = 0
    subset: int = 30  # rows that only show the ceiling of vocoder and model need no narrower interval
    jobs: int = 1
    cache: Path | None = None


@dataclass(frozen=True)
class Exclusion:
    """A pair that was left out: of everything, or of one scorer's figures."""

    pair: str
    reason: str
    scorer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures of all pairs, and what they were computed from.

    Attributes:
        pairs: that were evaluated, those left out included.
        values: numbers by pair, row and figure.
        natural: scores of natural speech; None without the speaker scorer.
        excluded: what was left out, and why.
        versions: of the scorers that were used.
        missing: scorers that are not installed.
        measurements: what the scorers measured, by key of the wave.
        waves: what was scored, by key of the wave.
    """

    pairs: list[Pair]
    values: dict[str, Values]
    natural: NaturalScores | None
    excluded: list[Exclusion]
    versions: dict[str, str]
    missing: dict[str, str]
    measurements: dict[str, Measurements] = field(default_factory=dict, repr=False)
    waves: dict[str, ScoringJob] = field(default_factory=dict, repr=False)


def row_key(row: str, pair: Pair) -> str:
    """Name of a row's wave; natural clips go by their path, so that each is scored once."""
    natural = {"source": pair.source, "target": pair.natural}.get(row)
    return str(natural.path) if natural else f"{pair.name}/{row}"


def evaluate(
    pairs: Sequence[Pair],
    groups: Mapping[str, Sequence[Clip]],
    systems: SystemRunner,
    options: Options | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Make and score all rows of pairs.

    Args:
        pairs: what to evaluate.
        groups: all clips by speaker, for natural scores.
        systems: makes the waves of the rows.
        options: how.
        progress: wraps the pairs and the waves, for progress bars.

    Raises:
        ConfigError: for an unknown scorer.
        AudioError: when not one pair could be made.
    """
    options = options or Options()
    loaded = load_scorers(options.scorers)
    scorers = tuple(loaded.scorers)
    waves: dict[str, ScoringJob] = {}
    excluded: list[Exclusion] = []
    for index, pair in enumerate(progress(pairs, len(pairs), "convert")):
        try:
            _add_jobs(waves, _pair_jobs(pair, systems, scorers, index < options.subset))
        except FILE_ERRORS as error:
            excluded.append(Exclusion(pair.name, reason(error)))
    # A pair without its conversion has no row at all, so that all rows are of the same pairs.
    gone = {exclusion.pair for exclusion in excluded}
    if len(gone) == len(pairs):
        raise AudioError(
            f"none of {len(pairs)} pairs could be made; the first: {excluded[0].reason if excluded else ''}"
        )
    natural_clips = draw_natural_clips(groups, options.seed) if "speaker" in scorers else []
    everything = dict(waves)  # natural clips are scored too, but are no part of the examples
    _add_jobs(everything, _natural_jobs(natural_clips, excluded))
    measurements = score_all(everything, cache=options.cache, jobs=options.jobs, progress=progress)
    natural = _natural_scores(natural_clips, measurements, excluded) if "speaker" in scorers else None
    kept = [pair for pair in pairs if pair.name not in gone]
    return Evaluation(
        pairs=list(pairs),
        values=_pair_values(kept, measurements, natural, scorers, excluded),
        natural=natural,
        excluded=excluded,
        versions=loaded.versions,
        missing=loaded.missing,
        measurements=measurements,
        waves=waves,
    )


def _add_jobs(jobs: dict[str, ScoringJob], more: Iterable[tuple[str, ScoringJob]]) -> None:
    """Add waves; one that is there already is scored by the scorers of both."""
    for key, job in more:
        known = jobs[key].scorers if key in jobs else ()
        jobs[key] = ScoringJob(job.wav, tuple(dict.fromkeys((*known, *job.scorers))))


def _pair_jobs(
    pair: Pair, systems: SystemRunner, scorers: tuple[str, ...], in_subset: bool
) -> list[tuple[str, ScoringJob]]:
    """All waves that a pair needs by key, with the scorers of each."""
    jobs: list[tuple[str, ScoringJob]] = []
    for row in dict.fromkeys([*systems.rows, *(["conversion"] if pair.converted else [])]):
        made = systems.make(row, pair) if in_subset or row not in SUBSET_ROWS else None
        if made is not None:
            jobs.append((row_key(row, pair), ScoringJob.from_audio(made, _scorers_of(row, pair, scorers))))
    # A clip may stand here twice; `_add_jobs` gives it to the scorers of both.
    for clip, names in (
        (pair.scored, ("speaker", "pitch")),
        (pair.source_other, ("speaker",)),
        (pair.same_sentence, ("mcd",)),
    ):
        used = [name for name in names if name in scorers]
        if clip is not None and used:
            jobs.append((str(clip.path), ScoringJob.from_audio(clip.path, used)))
    return jobs


def _scorers_of(row: str, pair: Pair, scorers: Iterable[str]) -> list[str]:
    """Another sentence of the target's has no content to compare; only a same sentence has a distortion."""
    useless = {"mcd"} if pair.same_sentence is None else set()
    useless |= {"content", "mcd"} if row == "target" else set()
    return [name for name in scorers if name not in useless]


def _natural_jobs(clips: Sequence[Clip], excluded: list[Exclusion]) -> list[tuple[str, ScoringJob]]:
    jobs = []
    for clip in clips:
        try:
            jobs.append((str(clip.path), ScoringJob.from_audio(clip.path, ["speaker"])))
        except FILE_ERRORS as error:
            excluded.append(Exclusion("natural", reason(error, clip.path), "speaker"))
    return jobs


def _natural_scores(
    clips: Sequence[Clip], measurements: Mapping[str, Measurements], excluded: list[Exclusion]
) -> NaturalScores | None:
    """Scores of the clips that could be measured; the others are named, and so is the lack of any score."""
    usable: list[tuple[Clip, list[float]]] = []
    for clip in clips:
        found = measurements.get(str(clip.path), {}).get("speaker")
        if isinstance(found, dict):
            usable.append((clip, found["embedding"]))
        elif found is not None:  # what could not be read was named before
            excluded.append(Exclusion("natural", f"{clip.path}: {found}", "speaker"))
    natural = score_natural_speech([clip for clip, _ in usable], [embedding for _, embedding in usable])
    if natural is None:
        why = "natural: no two speakers to compare, one of them with two clips; there are no figures of similarity"
        excluded.append(Exclusion("natural", why, "speaker"))
    return natural


def _pair_values(
    pairs: Sequence[Pair],
    measurements: Mapping[str, Measurements],
    natural: NaturalScores | None,
    scorers: Iterable[str],
    excluded: list[Exclusion],
) -> dict[str, Values]:
    """Numbers of all pairs; one that a scorer cannot score in one row is left out of all of its rows."""
    values: dict[str, Values] = {pair.name: defaultdict(dict) for pair in pairs}
    for scorer in scorers:
        for pair in pairs:
            try:
                rows = _row_values(scorer, pair, measurements, natural)
            except ScorerError as error:
                excluded.append(Exclusion(pair.name, str(error), scorer))
                continue
            for row, figures in rows.items():
                values[pair.name][row].update(figures)
    if "content" in scorers:
        _add_shuffled(values, pairs, measurements)
    return values


def _row_values(
    scorer: str, pair: Pair, measurements: Mapping[str, Measurements], natural: NaturalScores | None
) -> Values:
    """One scorer's numbers for all rows of a pair.

    Raises:
        ScorerError: when it could not score one of them.
    """
    keys = {row: row_key(row, pair) for row in ROWS if _scorers_of(row, pair, [scorer])}
    rows = {row: _measured(measurements, key, scorer) for row, key in keys.items() if key in measurements}
    if scorer == "speaker" and natural:
        clips = {"scored": pair.scored, "source_other": pair.source_other, "source": pair.source}
        measured = {name: _measured(measurements, str(clip.path), scorer) for name, clip in clips.items()}
        threshold = natural.threshold(pair.scored.speaker)
        return {row: speaker_scores(each, measured, threshold) for row, each in rows.items()}
    if scorer == "content":
        reference = rows["source"]["transcript"]
        if not reference:
            raise ScorerError("the recogniser finds no words in the source")
        text = pair.source.recording.text
        return {row: content_scores(each["transcript"], reference, text) for row, each in rows.items()}
    if scorer == "pitch":
        target = _measured(measurements, str(pair.scored.path), scorer)["f0"]
        scores = {row: pitch_scores(each["f0"], rows["source"]["f0"], target) for row, each in rows.items()}
        scores.get("target", {}).pop("f0_correlation", None)  # of another sentence it would mean nothing
        return scores
    if scorer == "mcd" and pair.same_sentence:
        target = _measured(measurements, str(pair.same_sentence.path), scorer)["cepstra"]
        found = {row: mel_cepstral_distortion(each["cepstra"], target) for row, each in rows.items()}
        return {row: {"mcd_db": distortion} for row, distortion in found.items()}
    return rows if scorer == "mos" else {}


def _measured(measurements: Mapping[str, Measurements], key: str, scorer: str) -> Measured:
    found = measurements.get(key, {}).get(scorer, "was not scored")
    if isinstance(found, str):
        raise ScorerError(f"{key}: {found}")
    return found


def _add_shuffled(
    values: dict[str, Values], pairs: Sequence[Pair], measurements: Mapping[str, Measurements]
) -> None:
    """Compare conversions with the transcript of another source of like length: the recogniser's chance level."""
    transcripts = {
        pair.name: _measured(measurements, str(pair.source.path), "content")["transcript"]
        for pair in pairs
        if "cer_recogniser" in values[pair.name].get("conversion", {})
    }
    sources = {pair.name: pair.source for pair in pairs}
    for name, own in transcripts.items():
        others = [other for other, transcript in transcripts.items() if transcript != own]
        others = [other for other in others if sources[other].path != sources[name].path]
        if others:
            other = min(others, key=lambda each: (abs(len(transcripts[each]) - len(own)), each))
            hypothesis = _measured(measurements, f"{name}/conversion", "content")["transcript"]
            text = sources[other].recording.text if sources[name].recording.text else None
            values[name]["shuffled"] = content_scores(hypothesis, transcripts[other], text)
