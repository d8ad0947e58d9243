"""`voiceae evaluate`: score a model, or another system's output, on held-out speakers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from voiceae.commands import options
from voiceae.commands.options import counted_progress, require_files, write_text

if TYPE_CHECKING:
    from voiceae.evaluation.pairs import Clip, Pair
    from voiceae.evaluation.systems import SystemRunner

EPILOG = """\b
Examples:
  voiceae evaluate --model base --corpus vctk/ --out report/ --n-pairs 100 --jobs 2
  voiceae evaluate --corpus speakers/ --kind folder --out report/ --scorers speaker,content
  voiceae evaluate --corpus vctk/ --pairs pairs.csv --root vctk/ --converted theirs/ --out report/
  voiceae evaluate --compare old/report.json new/report.json
  voiceae evaluate --corpus vctk/ --out report/ --tolerances tolerances.json

The scorers come with: pip install 'voiceae[eval]'. A tolerance file is JSON,
{"conversion.sim_target": [0.6, null], "differences.shuffled.cer_recogniser": [null, -0.15]};
a figure out of its range makes the exit code 1."""


@click.command("evaluate", epilog=EPILOG)
@options.voice()
@click.option(
    "--mode",
    default="full",
    metavar="full|chunked|streaming|streaming-warm",
    help="Convert whole recordings, in chunks as very long ones, or as a stream, cold or warm.",
)
@click.option("--corpus", type=options.PATH, metavar="DIR", help="Corpus of held-out speakers.")
@click.option("--kind", default="vctk", metavar="KIND", help="vctk, libritts, folder or csv.")
@click.option("--out", type=options.PATH, metavar="DIR", help="Folder of the report.")
@click.option("--n-pairs", default=100, type=click.IntRange(1), help="Pairs to draw.")
@options.seed
@click.option("--pairs", type=options.PATH, metavar="CSV", help="Use these pairs instead.")
@click.option("--root", type=options.PATH, metavar="DIR", help="Folder of the table's clips.")
@click.option("--converted", type=options.PATH, metavar="DIR", help="Score files made elsewhere.")
@click.option(
    "--scorers", default="speaker,content,mos,pitch,mcd", metavar="LIST", help="Which scorers to use."
)
@click.option("--jobs", default=1, type=click.IntRange(1), help="Processes that score.")
@click.option("--cache", type=options.PATH, metavar="DIR", help="Folder of earlier scores.")
@click.option("--no-cache", is_flag=True, help="Score everything anew.")
@options.force
@click.option(
    "--tolerances",
    type=options.PATH,
    metavar="JSON",
    help="Ranges that figures must keep; exit code 1 otherwise.",
)
@click.option("--compare", nargs=2, type=options.PATH, metavar="A B", help="Compare two report.json.")
def command(compare: tuple[Path, Path] | None, **options: Any) -> int:
    """Score a model on held-out speakers by models that this project did not train, and write a report."""
    if compare:
        return _compare(*compare)
    if options["corpus"] is None or options["out"] is None:
        raise click.UsageError("give --corpus and --out, or --compare A B")
    if options["converted"] is not None and options["pairs"] is None:
        raise click.UsageError("--converted needs --pairs, a table with the columns source, target and out")
    return _evaluate(**options)


def _evaluate(*, out: Path, tolerances: Path | None, force: bool, **options: Any) -> int:
    from voiceae.evaluation.report import departures, read_tolerances, write_report
    from voiceae.evaluation.report_rendering import headline_figures, markdown

    require_files([out / f"report.{suffix}" for suffix in ("json", "md", "html")], force)
    limits = read_tolerances(tolerances) if tolerances else {}
    report, page = _report(**options)
    write_report(report, out / "report.json")
    write_text(out / "report.md", markdown(report))
    write_text(out / "report.html", page)
    for what, value in headline_figures(report):
        click.echo(f"{value}  {what}")
    for line in _summed_up(each["reason"] for each in report["excluded"]):
        click.echo(f"voiceae: left out: {line}", err=True)
    click.echo(f"{out / 'report.html'}: {len(report['pairs'])} pairs, {len(report['excluded'])} exclusions")
    bad = list(departures(report, limits))
    for line in bad:
        click.echo(f"voiceae: error: {line}", err=True)
    return 1 if bad else 0


def _summed_up(reasons: Iterable[str]) -> Iterator[str]:
    """One line a reason, with whom it concerns: of "a: r" and "b: r", "a, b: r"."""
    concerned: dict[str, list[str]] = {}
    for who, _, why in (reason.partition(": ") for reason in dict.fromkeys(reasons)):
        concerned.setdefault(why, []).append(who)
    for why, names in concerned.items():
        most = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        yield f"{most}: {why}" if why else most


def _report(
    *,
    corpus: Path,
    kind: str,
    scorers: str,
    jobs: int,
    seed: int,
    cache: Path | None,
    no_cache: bool,
    **options: Any,
) -> tuple[dict[str, Any], str]:
    """The report, and its page."""
    from voiceae.evaluation.evaluation import Exclusion, Options, evaluate
    from voiceae.evaluation.pairs import group_by_speaker
    from voiceae.evaluation.report import make_report
    from voiceae.evaluation.report_rendering import page
    from voiceae.evaluation.scoring import default_cache
    from voiceae.pretrained.scorers import load_scorers

    names = tuple(name.strip() for name in scorers.split(",") if name.strip())
    for line in load_scorers(names).missing.values():
        click.echo(f"voiceae: {line}", err=True)
    systems, voice, about = _system_runner(options["choice"], options["converted"], options["mode"])
    clips, left_out = _clips(kind, corpus, about.pop("trained_on", ()))
    pairs, bad = _pairs(clips, seed, corpus, options)
    choices = Options(
        scorers=names, seed=seed, jobs=jobs, cache=None if no_cache else cache or default_cache()
    )
    evaluation = evaluate(pairs, group_by_speaker(clips), systems, choices, counted_progress)
    evaluation.excluded.extend(Exclusion(name, reason) for name, reason in {**left_out, **bad}.items())
    about |= {"corpus": corpus.name, "speakers": len(group_by_speaker(clips)), "clips": len(clips)}
    if voice is not None and options["mode"] == "full":
        about["seconds per second of audio"] = _speed(
            voice, (pair for pair in pairs if pair.name in evaluation.values)
        )
    report = make_report(
        evaluation, about=about, seed=seed, root=corpus if corpus.is_dir() else corpus.parent
    )
    return report, page(report, evaluation)


def _system_runner(
    choice: options.VoiceChoice, converted: Path | None, mode: str
) -> tuple[SystemRunner, Any, dict[str, Any]]:
    """What makes the rows, the model if there is one, and what the report says of both."""
    from voiceae.assets import find_model, find_vocoder
    from voiceae.evaluation.pairs import trained_speakers
    from voiceae.evaluation.systems import SystemRunner, converter
    from voiceae.hardware import resolve_device
    from voiceae.io.modelfile import read_header
    from voiceae.specs import AudioSpec
    from voiceae.vocoders.base import load_vocoder

    if converted is not None:
        spec, where = AudioSpec(), resolve_device(choice.device)
        speaks = load_vocoder(find_vocoder(choice.vocoder, spec), spec, where)
        theirs = {"converted": converted.name, "mel": spec.fingerprint, "vocoder": speaks.name}
        return SystemRunner(spec, speaks, device=where), None, theirs

    voice = choice.load()
    extra = read_header(find_model(choice.model)).extra
    about: dict[str, Any] = {
        "model": voice.name,
        "model fingerprint": voice.fingerprint,
        "mel": voice.spec.fingerprint,
        "vocoder": voice.vocoder.name,
        "parameters": voice.parameters,
        "trained_on": trained_speakers(extra),
    }
    if voice.model.speaker.limits:
        about["voices"] = voice.model.speaker.limits
    if mode != "full":
        about["mode"] = mode
    return SystemRunner(voice.spec, voice.vocoder, converter(voice, mode), voice.device), voice, about


def _clips(kind: str, corpus: Path, trained_on: Iterable[str]) -> tuple[list[Clip], dict[str, str]]:
    """Clips that may be evaluated on, and why others may not."""
    from voiceae.data.corpora import list_recordings
    from voiceae.errors import CorpusError
    from voiceae.evaluation.pairs import read_durations, unseen_recordings
    from voiceae.io.folders import UnusedFile

    unused: list[UnusedFile] = []
    kept, reasons = unseen_recordings(list_recordings(kind, corpus, unused=unused), trained_on)
    if not kept:
        raise CorpusError(f"{corpus}: the model was trained on all its speakers; evaluate on others")
    clips, bad = read_durations(kept)
    others = {str(each.path): f"{each.path}: not used: {each.why}" for each in unused}
    return clips, {**reasons, **bad, **others}


def _pairs(
    clips: list[Clip], seed: int, corpus: Path, options: Mapping[str, Any]
) -> tuple[list[Pair], dict[str, str]]:
    from voiceae.evaluation.pairs import draw_pairs, read_pairs

    if options["pairs"] is None:
        return draw_pairs(clips, options["n_pairs"], seed), {}
    root = options["root"] or (corpus if corpus.is_dir() else corpus.parent)
    return read_pairs(options["pairs"], root, clips, options["converted"], seed)


def _speed(voice: Any, pairs: Iterable[Pair]) -> dict[str, float]:
    """Seconds of compute per second of source audio by stage, median over at most ten pairs."""
    from statistics import median

    from voiceae.evaluation.systems import stage_seconds

    timed = [stage_seconds(voice, pair) for pair in list(pairs)[:10]]
    return {
        stage: median(each[stage] / each["audio"] for each in timed)
        for stage in ("features", "model", "vocoder")
    }


def _compare(first: Path, second: Path) -> int:
    from voiceae.evaluation.report import compare, read_report

    changes = compare(read_report(first), read_report(second))
    for change in sorted(changes, key=lambda each: not each.exceeds):
        sign = "exceeds" if change.exceeds else "within"
        paired = "paired" if change.paired else "unpaired"
        click.echo(
            f"{sign:8}{change.row:15}{change.figure:25}{change.before:9.4f} -> {change.after:9.4f}  "
            f"difference [{change.low:+.4f}, {change.high:+.4f}] {paired}"
        )
    exceeding = sum(change.exceeds for change in changes)
    click.echo(f"{exceeding} of {len(changes)} differences exceed their intervals")
    return 0
