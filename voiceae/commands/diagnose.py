"""`voiceae diagnose`: check a model's latents for collapse and leakage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from voiceae.commands import options
from voiceae.commands.options import counted_progress, require_files

if TYPE_CHECKING:
    from voiceae.evaluation.diagnosis import Finding

EPILOG = """\b
Examples:
  voiceae diagnose base --store store/
  voiceae diagnose base --corpus vctk/
  voiceae diagnose runs/vctk/model.safetensors --store store/ --out diagnosis/
  voiceae diagnose runs/vctk/model.safetensors --corpus speakers/ --kind folder --out diagnosis/
  voiceae diagnose runs/vctk/model.safetensors --store store/ --quick

Areas of a store: collapse (does the decoder use the code), leakage (does the code identify the
speaker), aggregate (does the aggregated posterior match the prior), codebook (is it in use),
speakers (are speakers separated), spoken (does the speaker embedding carry content).
Of a corpus of recordings: probe (do mean and deviation of the units name speakers that the
model never heard). Both may be given.
--out gets diagnosis.json and diagnosis.png. The exit code is 1 when any area failed."""


@click.command("diagnose", epilog=EPILOG)
@click.argument("model")
@click.option("--store", type=options.PATH, metavar="DIR", help="Feature store of held-out speech.")
@click.option("--corpus", type=options.PATH, metavar="DIR", help="Recordings of held-out speakers.")
@click.option("--kind", default="vctk", metavar="KIND", help="Of the corpus: vctk, libritts, folder or csv.")
@click.option("--out", type=options.PATH, metavar="DIR", help="Folder of figures and plots.")
@click.option("--quick", is_flag=True, help="Fewer speakers and shorter clips of the store.")
@options.seed
# One: small convolutions get slower, not faster, from a second thread on a busy machine.
@click.option("--threads", default=1, type=click.IntRange(1), help="Threads of torch.")
@options.force
def command(
    model: str,
    store: Path | None,
    corpus: Path | None,
    kind: str,
    out: Path | None,
    quick: bool,
    seed: int,
    threads: int,
    force: bool,
) -> int:
    """Check MODEL, a bundled name or a path, for collapse, leakage and an unused codebook."""
    from voiceae.assets import find_model
    from voiceae.data.store import FeatureStore
    from voiceae.evaluation.diagnosis.diagnose import Diagnosis, diagnose, save_plots
    from voiceae.hardware import torch_threads
    from voiceae.io import modelfile

    if store is None and corpus is None:
        raise click.UsageError("give --store, a feature store, or --corpus, recordings")
    require_files([out / name for name in ("diagnosis.json", "diagnosis.png")] if out else [], force)
    file = find_model(model)
    header = modelfile.read_header(file)
    about: dict[str, Any] = {"model": file.stem, "checksum": header.checksum, "seed": seed}
    about["mel"] = header.spec.fingerprint
    findings: tuple[Finding, ...] = ()
    with torch_threads(threads):
        if store is not None:
            features = FeatureStore.open(store)
            header.spec.require_same(features.spec, "model", "store")
            module = modelfile.load(file, kind="autoencoder").module
            of_store = diagnose(
                module, features, seed=seed, quick=quick, about=about, progress=counted_progress
            )
            findings, about = of_store.findings, dict(of_store.about)
        if corpus is not None:
            findings, about = (*findings, _probe(model, corpus, kind, seed)), {**about, "corpus": corpus.name}
    found = Diagnosis(findings, about)
    for finding in found.findings:
        click.echo(f"{finding.verdict!s:9}{finding.area:11}{finding.reason}")
    if out:
        found.save(out / "diagnosis.json")
        save_plots(found, out / "diagnosis.png")
        click.echo(f"{out}: diagnosis.json and diagnosis.png")
    return int(str(found.verdict) == "failed")  # a warning is for people to weigh


def _probe(model: str, corpus: Path, kind: str, seed: int) -> Finding:
    """Probe the units of all clips of a corpus whose speakers the model never heard."""
    from voiceae.assets import find_model
    from voiceae.conversion.voice import load
    from voiceae.evaluation.diagnosis.speaker_probe import MIN_CLIPS, probe_units
    from voiceae.evaluation.pairs import group_by_speaker, held_out_clips, trained_speakers
    from voiceae.io.modelfile import read_header

    clips, left_out = held_out_clips(kind, corpus, trained_speakers(read_header(find_model(model)).extra))
    if left_out:
        click.echo(
            f"voiceae: left out: {len(left_out)} speakers or files: {next(iter(left_out.values()))}", err=True
        )
    voice = load(model, "griffinlim", "cpu")
    return probe_units(voice, group_by_speaker(clips, MIN_CLIPS), seed=seed, progress=counted_progress)
