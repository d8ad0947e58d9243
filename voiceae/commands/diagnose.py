"""`voiceae diagnose`: check a model's latents for collapse and leakage."""

from __future__ import annotations

from pathlib import Path

import click

from voiceae.commands import options
from voiceae.commands.options import counted_progress, require_files

EPILOG = """\b
Examples:
  voiceae diagnose base --store store/
  voiceae diagnose runs/vctk/model.safetensors --store store/ --out diagnosis/
  voiceae diagnose runs/vctk/model.safetensors --store store/ --quick

Areas: collapse (does the decoder use the code), leakage (does the code identify the speaker),
aggregate (does the aggregated posterior match the prior), codebook (is it in use), speakers
(are speakers separated), spoken (does the speaker embedding carry content).
--out gets diagnosis.json and diagnosis.png. The exit code is 1 when any area failed."""


@click.command("diagnose", epilog=EPILOG)
@click.argument("model")
@click.option(
    "--store", required=True, type=options.PATH, metavar="DIR", help="Feature store of held-out speech."
)
@click.option("--out", type=options.PATH, metavar="DIR", help="Folder of figures and plots.")
@click.option("--quick", is_flag=True, help="Fewer speakers and shorter clips.")
@options.seed
# One: small convolutions get slower, not faster, from a second thread on a busy machine.
@click.option("--threads", default=1, type=click.IntRange(1), help="Threads of torch.")
@options.force
def command(
    model: str, store: Path, out: Path | None, quick: bool, seed: int, threads: int, force: bool
) -> int:
    """Check MODEL, a bundled name or a path, for collapse, leakage and an unused codebook."""
    from voiceae.assets import find_model
    from voiceae.data.store import FeatureStore
    from voiceae.evaluation.diagnosis.diagnose import diagnose, save_plots
    from voiceae.hardware import torch_threads
    from voiceae.io import modelfile

    require_files([out / name for name in ("diagnosis.json", "diagnosis.png")] if out else [], force)
    file = find_model(model)
    header = modelfile.read_header(file)
    features = FeatureStore.open(store)
    header.spec.require_same(features.spec, "model", "store")
    module = modelfile.load(file, kind="autoencoder").module
    about = {"model": file.stem, "checksum": header.checksum, "mel": header.spec.fingerprint}
    with torch_threads(threads):
        found = diagnose(module, features, seed=seed, quick=quick, about=about, progress=counted_progress)
    for finding in found.findings:
        click.echo(f"{finding.verdict!s:9}{finding.area:11}{finding.reason}")
    if out:
        found.save(out / "diagnosis.json")
        save_plots(found, out / "diagnosis.png")
        click.echo(f"{out}: diagnosis.json and diagnosis.png")
    return int(str(found.verdict) == "failed")  # a warning is for people to weigh
