"""One evaluation: waves of all rows, what the judges say of them, and what it comes to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voiceae.errors import AudioError, ScorerError
from voiceae.evaluation.natural_speech import Natural, draw_natural, natural_scores
from voiceae.evaluation.pairs import Clip, Pair
from voiceae.evaluation.scores import content_scores, mel_cepstral_distortion, pitch_scores, speaker_scores
from voiceae.evaluation.scoring import Findings, ScoringJob, Watch, score_all, unwatched
from voiceae.evaluation.systems import SUBSET_ROWS, SystemRunner
from voiceae.io.audio import Audio
from voiceae.io.filesystem import FILE_ERRORS, reason
from voiceae.pretrained.scorers import Measured, load_scorers

Values = dict[str, dict[str, float]]
"""Numbers of one pair: row -> figure -> value."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to evaluate.

    Attributes:
        judges: names of those to ask.
        seed: of everything drawn.
        subset: pairs that copy-synthesis and reconstruction are made of.
        jobs: processes that judge.
        cache: folder of what judges said before; None to ask anew.
    """

    judges: tuple[str, ...] = ("speaker", "content", "mos", "pitch", "mcd")
    seed: int = 0
    subset: int = 30
    jobs: int = 1
    cache: Path | None = None


@dataclass(frozen=True)
class Exclusion:
    """A pair that was left out: of everything, or of one judge's figures."""

    pair: str
    reason: str
    judge: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What came of it.

    Attributes:
        pairs: that were judged, those left out included.
        values: numbers by pair, row and figure.
        natural: scores of natural speech; None without the speaker judge.
        excluded: what was left out, and why.
        versions: of the judges that were asked.
        missing: judges that are not installed.
        findings: what the judges measured, by key of the wave.
        waves: what was made, by key of the wave.
    """

    pairs: list[Pair]
    values: dict[str, Values]
    natural: Natural | None
    excluded: list[Exclusion]
    versions: dict[str, str]
    missing: dict[str, str]
    findings: dict[str, Findings] = field(default_factory=dict, repr=False)
    waves: dict[str, ScoringJob] = field(default_factory=dict, repr=False)


def row_key(row: str, pair: Pair) -> str:
    """Name of a row's wave; natural clips go by their path, so that each is judged once."""
    natural = {"source": pair.source, "target": pair.natural}.get(row)
    return str(natural.path) if natural else f"{pair.name}/{row}"


def evaluate(
    pairs: Sequence[Pair],
    groups: Mapping[str, Sequence[Clip]],
    workshop: SystemRunner,
    options: Options | None = None,
    watch: Watch = unwatched,
) -> Evaluation:
    """Judge pairs, with all reference rows.

    Args:
        pairs: what to judge.
        groups: all clips by speaker, for natural scores.
        workshop: makes the rows.
        options: how.
        watch: for progress bars.

    Raises:
        ConfigError: for an unknown judge.
        AudioError: when not one pair could be made.
    """
    options = options or Options()
    panel = load_scorers(options.judges)
    judges = tuple(panel.judges)
    waves: dict[str, ScoringJob] = {}
    excluded: list[Exclusion] = []
    for index, pair in enumerate(watch(pairs, len(pairs), "convert")):
        try:
            waves.update(_merged(waves, _waves(pair, workshop, judges, index < options.subset)))
        except FILE_ERRORS as error:
            excluded.append(Exclusion(pair.name, reason(error)))
    gone = {exclusion.pair for exclusion in excluded}
    if len(gone) == len(pairs):
        raise AudioError(
            f"none of {len(pairs)} pairs could be made; the first: {excluded[0].reason if excluded else ''}"
        )
    sample = draw_natural(groups, options.seed) if "speaker" in judges else []
    readable = _natural_waves(sample, excluded)
    findings = score_all(
        _merged(waves, readable, keep=True), cache=options.cache, jobs=options.jobs, watch=watch
    )
    natural = _natural(sample, findings, excluded) if "speaker" in judges else None
    kept = [pair for pair in pairs if pair.name not in gone]
    values = _score_all(kept, findings, natural, judges, excluded)
    return Evaluation(
        pairs=list(pairs),
        values=values,
        natural=natural,
        excluded=excluded,
        versions=panel.versions,
        missing=panel.missing,
        findings=findings,
        waves=waves,
    )


def _merged(
    waves: Mapping[str, ScoringJob], more: Mapping[str, ScoringJob], keep: bool = False
) -> dict[str, ScoringJob]:
    """Waves of `more`, and of both with `keep`, each heard by all who want it in either."""
    merged = dict(waves) if keep else {}
    for key, heard in more.items():
        wanted = dict.fromkeys((*(waves[key].judges if key in waves else ()), *heard.judges))
        merged[key] = ScoringJob(heard.wav, tuple(wanted))
    return merged


def _waves(
    pair: Pair, workshop: SystemRunner, judges: tuple[str, ...], in_subset: bool
) -> dict[str, ScoringJob]:
    """All waves that a pair needs, with who has to hear each."""
    waves: dict[str, ScoringJob] = {}
    rows = [*workshop.rows, *(["conversion"] if pair.converted else [])]
    for row in dict.fromkeys(rows):
        made = workshop.make(row, pair) if in_subset or row not in SUBSET_ROWS else None
        if made is not None:
            waves |= _merged(
                waves, {row_key(row, pair): ScoringJob.from_audio(made, _judges_of(row, pair, judges))}
            )
    clips = (
        (pair.scored, ("speaker", "pitch")),
        (pair.source_other, ("speaker",)),
        (pair.same_sentence, ("mcd",)),
    )
    for clip, wanted in clips:  # a clip may have two parts to play, and is then heard by the judges of both
        if clip is not None and set(wanted) & set(judges):
            heard = ScoringJob.from_audio(clip.path, [name for name in wanted if name in judges])
            waves |= _merged(waves, {str(clip.path): heard})
    return waves


def _judges_of(row: str, pair: Pair, judges: Iterable[str]) -> list[str]:
    """Another sentence of the target's has no content to compare; only a same sentence has a distortion."""
    useless = {"mcd"} if pair.same_sentence is None else set()
    useless |= {"content", "mcd"} if row == "target" else set()
    return [name for name in judges if name not in useless]


def _natural_waves(clips: Sequence[Clip], excluded: list[Exclusion]) -> dict[str, ScoringJob]:
    waves = {}
    for clip in clips:
        try:
            waves[str(clip.path)] = ScoringJob.from_audio(clip.path, ["speaker"])
        except FILE_ERRORS as error:
            excluded.append(Exclusion("natural", reason(error, clip.path), "speaker"))
    return waves


def _natural(
    clips: Sequence[Clip], findings: Mapping[str, Findings], excluded: list[Exclusion]
) -> Natural | None:
    """Scores of the clips that could be judged; the others are named, and so is the lack of any score."""
    usable: list[tuple[Clip, list[float]]] = []
    for clip in clips:
        found = findings.get(str(clip.path), {}).get("speaker")
        if isinstance(found, dict):
            usable.append((clip, found["embedding"]))
        elif found is not None:  # what could not be read was named before
            excluded.append(Exclusion("natural", f"{clip.path}: {found}", "speaker"))
    natural = natural_scores([clip for clip, _ in usable], [embedding for _, embedding in usable])
    if natural is None:
        reason = "natural: no two speakers to compare, one of them with two clips; there are no figures of similarity"
        excluded.append(Exclusion("natural", reason, "speaker"))
    return natural


def _score_all(
    pairs: Sequence[Pair],
    findings: Mapping[str, Findings],
    natural: Natural | None,
    judges: Iterable[str],
    excluded: list[Exclusion],
) -> dict[str, Values]:
    """Numbers of all pairs; one that a judge cannot judge in one row is left out of all of its rows."""
    values: dict[str, Values] = {pair.name: defaultdict(dict) for pair in pairs}
    for judge in judges:
        for pair in pairs:
            try:
                scored = _score(judge, pair, findings, natural)
            except ScorerError as error:
                excluded.append(Exclusion(pair.name, str(error), judge))
                continue
            for row, figures in scored.items():
                values[pair.name][row].update(figures)
    if "content" in judges:
        _add_shuffled(values, pairs, findings)
    return values


def _score(judge: str, pair: Pair, findings: Mapping[str, Findings], natural: Natural | None) -> Values:
    """One judge's numbers for all rows of a pair.

    Raises:
        JudgeError: when it could not judge one of them.
    """
    keys = {row: key for row, key in _keys(pair, findings).items() if _judges_of(row, pair, [judge])}
    rows = {row: _measured(findings, key, judge) for row, key in keys.items()}
    clips = {"scored": pair.scored, "source_other": pair.source_other, "source": pair.source}
    if judge == "speaker" and natural:
        heard = {name: _measured(findings, str(clip.path), judge) for name, clip in clips.items()}
        threshold = natural.threshold(pair.scored.speaker)
        return {row: speaker_scores(measured, heard, threshold) for row, measured in rows.items()}
    if judge == "content":
        said = rows["source"]["transcript"]
        if not said:
            raise ScorerError("the recogniser hears nothing in the source")
        text = pair.source.recording.text
        return {row: content_scores(measured["transcript"], said, text) for row, measured in rows.items()}
    if judge == "pitch":
        target = _measured(findings, str(pair.scored.path), judge)["f0"]
        scored = {
            row: pitch_scores(measured["f0"], rows["source"]["f0"], target) for row, measured in rows.items()
        }
        scored.get("target", {}).pop("f0_correlation", None)  # of another sentence it would mean nothing
        return scored
    if judge == "mcd" and pair.same_sentence:
        target = _measured(findings, str(pair.same_sentence.path), judge)["cepstra"]
        return {
            row: {"mcd_db": mel_cepstral_distortion(each["cepstra"], target)} for row, each in rows.items()
        }
    return rows if judge == "mos" else {}


def _keys(pair: Pair, findings: Mapping[str, Findings]) -> dict[str, str]:
    """Rows that the pair has, with the names of their waves."""
    names = ("source", "target", "copy", "transfer", "reconstruction", "conversion")
    keys = {row: row_key(row, pair) for row in names}
    return {row: key for row, key in keys.items() if key in findings}


def _measured(findings: Mapping[str, Findings], key: str, judge: str) -> Measured:
    found = findings.get(key, {}).get(judge, "was not heard")
    if isinstance(found, str):
        raise ScorerError(f"{key}: {found}")
    return found


def _add_shuffled(values: dict[str, Values], pairs: Sequence[Pair], findings: Mapping[str, Findings]) -> None:
    """Conversions against what another source of like length says: chance level of the recogniser."""
    said = {
        pair.name: _measured(findings, str(pair.source.path), "content")["transcript"]
        for pair in pairs
        if "cer_recogniser" in values[pair.name].get("conversion", {})
    }
    by_name = {pair.name: pair for pair in pairs}
    for name, own in said.items():
        others = [
            other
            for other in said
            if by_name[other].source.path != by_name[name].source.path and said[other] != own
        ]
        if others:
            other = min(others, key=lambda each: (abs(len(said[each]) - len(own)), each))
            heard = _measured(findings, f"{name}/conversion", "content")["transcript"]
            text = by_name[other].source.recording.text
            values[name]["shuffled"] = content_scores(
                heard, said[other], text if by_name[name].source.recording.text else None
            )


def as_audio(heard: ScoringJob) -> Audio:
    """Wave as the judges heard it."""
    from voiceae.pretrained.scorers import SAMPLE_RATE

    return Audio(wav=heard.wav, sample_rate=SAMPLE_RATE)
