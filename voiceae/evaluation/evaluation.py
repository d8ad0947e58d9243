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
from voiceae.pretrained.scorers import (
    DEFAULT_SCORERS,
    RECOGNISERS,
    SPEAKER_ENCODERS,
    Measured,
    kind_of,
    knows_english_only,
    load_scorers,
)

Values = dict[str, dict[str, float]]
"""Numbers of one pair: row -> figure -> value."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of one evaluation.

    Attributes:
        scorers: names of those to use.
        language: that is spoken, such as "en"; None where it is not known. Recognisers of English alone are left out
            where it is not English.
        seed: of everything drawn.
        subset: pairs that copy-synthesis and reconstruction are made of.
        jobs: processes that score.
        cache: folder of earlier scores; None to score everything anew.
    """

    scorers: tuple[str, ...] = DEFAULT_SCORERS
    language: str | None = "en"
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
        natural: scores of natural speech by speaker encoder, those that there are.
        excluded: what was left out, and why.
        versions: of the scorers that were used.
        missing: scorers that are not installed.
        notes: what a reader must know of this evaluation.
        measurements: what the scorers measured, by key of the wave.
        waves: what was scored, by key of the wave.
    """

    pairs: list[Pair]
    values: dict[str, Values]
    natural: dict[str, NaturalScores]
    excluded: list[Exclusion]
    versions: dict[str, str]
    missing: dict[str, str]
    notes: list[str] = field(default_factory=list)
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
    names, notes = scorers_for_language(options.scorers, options.language)
    loaded = load_scorers(names)
    scorers = tuple(loaded.scorers)
    encoders = [name for name in SPEAKER_ENCODERS if name in scorers]
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
    natural_clips = draw_natural_clips(groups, options.seed) if encoders else []
    everything = dict(waves)  # natural clips are scored too, but are no part of the examples
    _add_jobs(everything, _natural_jobs(natural_clips, encoders, excluded))
    measurements = score_all(everything, cache=options.cache, jobs=options.jobs, progress=progress)
    found = {name: _natural_scores(name, natural_clips, measurements, excluded) for name in encoders}
    natural = {name: scores for name, scores in found.items() if scores}
    kept = [pair for pair in pairs if pair.name not in gone]
    return Evaluation(
        pairs=list(pairs),
        values=_pair_values(kept, measurements, natural, scorers, excluded),
        natural=natural,
        excluded=excluded,
        versions=loaded.versions,
        missing=loaded.missing,
        notes=notes,
        measurements=measurements,
        waves=waves,
    )


def scorers_for_language(names: Sequence[str], language: str | None) -> tuple[tuple[str, ...], list[str]]:
    """Scorers that understand a language, and a note on those that do not.

    Args:
        names: of all scorers that were asked for.
        language: that is spoken; None where it is not known.
    """
    deaf = [name for name in names if knows_english_only(name)] if language != "en" else []
    if not deaf:
        return tuple(names), []
    why = "the language of the corpus is not known" if language is None else f"the language is {language}"
    note = (
        f"Words are not judged by {', '.join(deaf)}, which knows English only: {why}. Name the language if it is "
        "English (--language en), or give a recogniser of many languages (--scorers ...,whisper:base)."
    )
    return tuple(name for name in names if name not in deaf), [note]


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
        (pair.scored, (*SPEAKER_ENCODERS, "pitch")),
        (pair.source_other, SPEAKER_ENCODERS),
        *((reference, SPEAKER_ENCODERS) for reference in pair.references),
        (pair.same_sentence, ("mcd",)),
    ):
        used = [name for name in names if name in scorers]
        if clip is not None and used:
            jobs.append((str(clip.path), ScoringJob.from_audio(clip.path, used)))
    return jobs


def _scorers_of(row: str, pair: Pair, scorers: Iterable[str]) -> list[str]:
    """Another sentence of the target's has no content to compare; only a same sentence has a distortion."""
    useless = {"mcd"} if pair.same_sentence is None else set()
    useless |= {*RECOGNISERS, "mcd"} if row == "target" else set()
    return [name for name in scorers if kind_of(name) not in useless]


def _natural_jobs(
    clips: Sequence[Clip], encoders: Sequence[str], excluded: list[Exclusion]
) -> list[tuple[str, ScoringJob]]:
    jobs = []
    for clip in clips:
        try:
            jobs.append((str(clip.path), ScoringJob.from_audio(clip.path, encoders)))
        except FILE_ERRORS as error:
            excluded.append(Exclusion("natural", reason(error, clip.path), encoders[0]))
    return jobs


def _natural_scores(
    encoder: str,
    clips: Sequence[Clip],
    measurements: Mapping[str, Measurements],
    excluded: list[Exclusion],
) -> NaturalScores | None:
    """One encoder's scores of the clips that could be measured; the others are named, and the lack of any score."""
    usable: list[tuple[Clip, list[float]]] = []
    for clip in clips:
        found = measurements.get(str(clip.path), {}).get(encoder)
        if isinstance(found, dict):
            usable.append((clip, found["embedding"]))
        elif found is not None:  # what could not be read was named before
            excluded.append(Exclusion("natural", f"{clip.path}: {found}", encoder))
    natural = score_natural_speech([clip for clip, _ in usable], [embedding for _, embedding in usable])
    if natural is None:
        why = "natural: no two speakers to compare, one of them with two clips; there are no figures of similarity"
        excluded.append(Exclusion("natural", why, encoder))
    return natural


def _pair_values(
    pairs: Sequence[Pair],
    measurements: Mapping[str, Measurements],
    natural: Mapping[str, NaturalScores],
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
    for scorer in scorers:
        if kind_of(scorer) in RECOGNISERS:
            _add_shuffled(scorer, values, pairs, measurements)
    return values


def figure_of(name: str, scorer: str) -> str:
    """A figure's name by scorer: the main encoder's and the main recogniser's are plain, others end in their name."""
    kind = kind_of(scorer)
    return name if kind in (SPEAKER_ENCODERS[0], RECOGNISERS[0]) else f"{name}_{kind}"


def _by_scorer(rows: Values, scorer: str) -> Values:
    return {
        row: {figure_of(name, scorer): value for name, value in figures.items()}
        for row, figures in rows.items()
    }


def _row_values(
    scorer: str, pair: Pair, measurements: Mapping[str, Measurements], natural: Mapping[str, NaturalScores]
) -> Values:
    """One scorer's numbers for all rows of a pair.

    Raises:
        ScorerError: when it could not score one of them.
    """
    keys = {row: row_key(row, pair) for row in ROWS if _scorers_of(row, pair, [scorer])}
    rows = {row: _measured(measurements, key, scorer) for row, key in keys.items() if key in measurements}
    if scorer in natural:
        clips = {"scored": pair.scored, "source_other": pair.source_other, "source": pair.source}
        measured = {name: _measured(measurements, str(clip.path), scorer) for name, clip in clips.items()}
        given = [_measured(measurements, str(clip.path), scorer) for clip in pair.references]
        threshold = natural[scorer].threshold(pair.scored.speaker)
        # A reconstruction was given another clip than the pair's references.
        return _by_scorer(
            {
                row: speaker_scores(each, measured, threshold, given if row != "reconstruction" else ())
                for row, each in rows.items()
            },
            scorer,
        )
    if kind_of(scorer) in RECOGNISERS:
        reference = rows["source"]["transcript"]
        if not reference:
            raise ScorerError("the recogniser finds no words in the source")
        text = pair.source.recording.text
        found = {row: content_scores(each["transcript"], reference, text) for row, each in rows.items()}
        return _by_scorer(found, scorer)
    if scorer == "pitch":
        target = _measured(measurements, str(pair.scored.path), scorer)["f0"]
        scores = {row: pitch_scores(each["f0"], rows["source"]["f0"], target) for row, each in rows.items()}
        scores.get("target", {}).pop("f0_correlation", None)  # of another sentence it would mean nothing
        return scores
    if scorer == "mcd" and pair.same_sentence:
        target = _measured(measurements, str(pair.same_sentence.path), scorer)["cepstra"]
        return {
            row: {"mcd_db": mel_cepstral_distortion(each["cepstra"], target)} for row, each in rows.items()
        }
    return rows if scorer in ("mos", "distilmos") else {}


def _measured(measurements: Mapping[str, Measurements], key: str, scorer: str) -> Measured:
    found = measurements.get(key, {}).get(scorer, "was not scored")
    if isinstance(found, str):
        raise ScorerError(f"{key}: {found}")
    return found


def _add_shuffled(
    scorer: str,
    values: dict[str, Values],
    pairs: Sequence[Pair],
    measurements: Mapping[str, Measurements],
) -> None:
    """Compare conversions with the transcript of another source of like length: the recogniser's chance level."""
    transcripts = {
        pair.name: _measured(measurements, str(pair.source.path), scorer)["transcript"]
        for pair in pairs
        if figure_of("cer_recogniser", scorer) in values[pair.name].get("conversion", {})
    }
    sources = {pair.name: pair.source for pair in pairs}
    for name, own in transcripts.items():
        others = [other for other, transcript in transcripts.items() if transcript != own]
        others = [other for other in others if sources[other].path != sources[name].path]
        if others:
            other = min(others, key=lambda each: (abs(len(transcripts[each]) - len(own)), each))
            hypothesis = _measured(measurements, f"{name}/conversion", scorer)["transcript"]
            text = sources[other].recording.text if sources[name].recording.text else None
            found = {"shuffled": content_scores(hypothesis, transcripts[other], text)}
            values[name]["shuffled"].update(_by_scorer(found, scorer)["shuffled"])
