"""`voiceae diagnose`: look for collapse and leakage in a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from voiceae.commands.options import PATH

if TYPE_CHECKING:
    from voiceae.evaluation.diagnosis import Diagnosis

EPILOG = """\b
Examples:
  voiceae diagnose base --store store/
  voiceae diagnose runs/vctk/model.safetensors --store store/ --out diagnosis/
  voiceae diagnose runs/vctk/model.safetensors --store store/ --quick
\b
Areas: collapse (does the decoder use the code), leakage (do the codes tell who speaks),
aggregate (do the codes lie where the prior expects them), codebook (is it in use),
speakers (are voices trace apart), spoken (does the speaker vector say what is said).
--out gets diagnosis.json and diagnosis.png. The exit code is 1 when any area failed."""


@click.command("diagnose", epilog=EPILOG)
@click.argument("model")
@click.option("--store", required=True, type=PATH, metavar="DIR", help="Feature store to look at.")
@click.option("--out", type=PATH, metavar="DIR", help="Folder of figures and plots.")
@click.option("--quick", is_flag=True, help="Fewer speakers and shorter clips.")
@click.option("--seed", default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="To compute with.")
@click.option("--force", is_flag=True, help="Overwrite an existing diagnosis.")
def command(
    model: str, store: Path, out: Path | None, quick: bool, seed: int, threads: int, force: bool
) -> int:
    """Give a verdict on every way in which MODEL, a bundled name or a path, may have failed unseen."""
    from voiceae.io.filesystem import require_new

    for name in ("diagnosis.json", "diagnosis.png"):
        if out:
            require_new(out / name, force)
    found = _diagnose(model, store, quick=quick, seed=seed, threads=threads)
    for finding in found.findings:
        click.echo(f"{finding.verdict!s:9}{finding.area:11}{finding.reason}")
    if out:
        from voiceae.evaluation.diagnosis.diagnose import save_plots

        found.save(out / "diagnosis.json")
        save_plots(found, out / "diagnosis.png")
        click.echo(f"{out}: diagnosis.json and diagnosis.png")
    return int(str(found.verdict) == "failed")


def _diagnose(name: str, path: Path, *, quick: bool, seed: int, threads: int) -> Diagnosis:
    from voiceae.assets import find_model
    from voiceae.data.store import FeatureStore
    from voiceae.evaluation.diagnosis import diagnose
    from voiceae.hardware import torch_threads
    from voiceae.io import modelfile

    file = find_model(name)
    header = modelfile.read_header(file)
    store = FeatureStore.open(path)
    header.spec.require_same(store.spec, "model", "store")
    module = modelfile.load(file, kind="autoencoder").module
    about = {"model": file.stem, "checksum": header.checksum, "mel": header.spec.fingerprint}
    with torch_threads(threads):
        return diagnose(module, store, seed=seed, quick=quick, about=about, progress=_watch)


def _watch(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    from tqdm import tqdm

    return tqdm(items, total=total, desc=what, leave=False)
