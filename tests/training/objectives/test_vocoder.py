from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import voiceae
from tests.io.waves import harmonic
from tests.tiny import small_model
from voiceae.commands.train import main
from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore
from voiceae.data.waves import WaveBatch, WaveCropSampler, add_waves
from voiceae.errors import StoreError
from voiceae.io import modelfile
from voiceae.training.objectives.vocoder import VocoderObjective
from voiceae.training.run import build_objective
from voiceae.training.settings import Settings, compose
from voiceae.vocoders.load import load_vocoder

SMALL = ["model.channels=16", "model.hidden=32", "model.n_blocks=1"]
SMALL += ["model.pitch={channels: 16, hidden: 32, n_blocks: 1}", "trainer=debug", "trainer.precision=fp32"]
SMALL += ["data.batch_size=4", "data.crop_frames=32", "data.reference_frames=32", "trainer.picture_every=0"]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with waves: three voices that glide up and down."""
    root = tmp_path_factory.mktemp("spoken")
    rng = np.random.default_rng(0)
    for speaker, f0 in enumerate((110.0, 170.0, 240.0)):
        for utterance in range(3):
            wav = np.concatenate([harmonic(f0 * step, 0.4) for step in (1.0, 1.2, 0.9)])
            path = root / "corpus" / f"s{speaker}" / f"{utterance}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wav + 0.002 * rng.standard_normal(len(wav)), 22050)
    prepare("folder", root / "corpus", root / "store", jobs=1)
    add_waves(FeatureStore.open(root / "store"))
    return root / "store"


def settings_of(store: Path, *more: str) -> Settings:
    return Settings.read(compose(["experiment=vocoder", f"data.store={store}", "out=x", *SMALL, *more]))


def rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_both_legs_through_the_command(spoken: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shared = [f"data.store={spoken}", *SMALL, "optim.learning_rate=3e-3", "optim.warmup_steps=5"]
    main(["experiment=vocoder", f"out={first}", *shared, "trainer.max_steps=24", "trainer.log_every=8"])
    losses = [row["spectral_raw"] for row in rows(first) if "spectral_raw" in row]
    assert losses[-1] < 0.9 * losses[0]
    assert modelfile.read_header(first / "model.safetensors").kind == "vocoder"

    base = Path(voiceae.__file__).parent / "assets" / "base.safetensors"
    start = [
        f"trainer.init_from={first / 'model.safetensors'}",
        f"loss.finetune_on_reconstructions_of={base}",
    ]
    judges = ["loss.adversary.sizes=[512]", "loss.adversary.periods=[3]", "loss.adversary.channels=4"]
    judges += ["trainer.precision=bf16"]  # as on a GPU
    main(["experiment=vocoder_gan", f"out={second}", *shared, *start, *judges, "trainer.max_steps=4"])
    last = [row for row in rows(second) if "adversary" in row][-1]
    assert last["feature_matching"] > 0 and last["adversary_gradient_norm"] > 0
    assert len(modelfile.read_header(second / "model.safetensors").extra["legs"]) == 2
    wav = load_vocoder(second / "model.safetensors", voiceae.AudioSpec())(torch.full((1, 80, 20), -3.0))
    assert wav.shape == (1, 20 * 256) and bool(wav.isfinite().all())


def test_a_store_without_waves_is_refused(spoken: Path, tmp_path: Path) -> None:
    corpus = spoken.parent / "corpus"
    prepare("folder", corpus, tmp_path / "store", jobs=1)
    with pytest.raises(StoreError, match="has no waves"):
        main(["experiment=vocoder", f"out={tmp_path / 'run'}", f"data.store={tmp_path / 'store'}", *SMALL])


JUDGES = {
    "_target_": "voiceae.models.discriminators.WaveDiscriminators",
    **{"sizes": [512], "periods": [3], "channels": 4},
}
WEIGHTS = dict.fromkeys(("spectral", "mel", "pitch", "adversarial", "feature_matching"), 1.0)


def judged(store: FeatureStore, band: float | None = None, **options: Any) -> VocoderObjective:
    """A vocoder that says something, and discriminators."""
    description = {
        "_target_": "voiceae.vocoders.sourcefilter.SourceFilter",
        "audio": voiceae.AudioSpec().to_dict(),
        "band": band,
        **{"channels": 8, "hidden": 8, "n_blocks": 1, "pitch": {"channels": 8, "hidden": 8, "n_blocks": 1}},
    }
    torch.manual_seed(0)
    model, judges = modelfile.build(description), modelfile.build(JUDGES)
    return VocoderObjective(
        model=model, spec=store.spec, weights=WEIGHTS, fft_sizes=[256, 1024], adversary=judges, **options
    )


def one(store: FeatureStore, frames: int) -> WaveBatch:
    shape = {"batch_size": 1, "crop_frames": frames, "reference_frames": 8, "seed": 0}
    return WaveCropSampler(store, "train", **shape).batch(0)


@pytest.mark.parametrize("reconstructed", [False, True])
def test_what_pads_a_short_utterance_counts_in_no_loss(spoken: Path, reconstructed: bool) -> None:
    store = FeatureStore.open(spoken)
    autoencoder = small_model().eval() if reconstructed else None
    padded, objective = one(store, 240), judged(store, autoencoder=autoencoder, reconstructed_share=1.0)
    frames = int(padded.mask.sum())
    assert frames < 120
    samples = frames * store.spec.hop_length
    parts = {"mel": padded.mel[..., :frames], "mask": padded.mask[:, :frames], "wav": padded.wav[:, :samples]}
    alone = replace(padded, **parts)
    ours, theirs = (objective(each, 0, torch.Generator().manual_seed(1)) for each in (padded, alone))
    for name, value in theirs.losses.items():  # the frames that straddle the end differ a little
        assert float(ours.losses[name]) == pytest.approx(float(value), rel=0.06), name
    learnt = [float(objective.adversary_loss(*each)) for each in ((padded, ours), (alone, theirs))]
    assert learnt[0] == pytest.approx(learnt[1], rel=0.03)
    loudest = float(padded.mel[..., :frames].logsumexp(1).max())
    assert float(padded.mel[..., frames:].logsumexp(1).max()) < loudest - 3.0  # silence, not full scale


def test_no_two_items_start_at_the_same_phase_and_noise(spoken: Path) -> None:
    """In training; or the discriminators learn the one start, which no recording has."""
    store = FeatureStore.open(spoken)
    batch, objective = one(store, 48), judged(store)
    twice = replace(
        batch, **{name: torch.cat([value, value]) for name, value in vars(batch).items()}
    )  # the very same item

    def made(seed: int) -> torch.Tensor:
        with torch.no_grad():
            return objective(twice, seed, torch.Generator().manual_seed(seed)).waves["output"]

    first, second = made(0)
    apart = float((first - second).abs().mean() / first.abs().mean())
    assert apart > 0.3
    assert float((made(0) - made(1)).abs().mean() / first.abs().mean()) > 0.3
    assert torch.equal(made(0), made(0))
    objective.eval()  # as at inference: the same whenever it is asked
    assert torch.equal(*made(0)) and torch.equal(made(0), made(1))
    spoken_alone = objective._comparable(objective.model(batch.mel), batch)
    assert torch.allclose(made(0)[0], spoken_alone[0], atol=1e-5)


def with_tone(batch: WaveBatch, hertz: float) -> WaveBatch:
    """A tone in what was recorded, of whole periods; the mel that the vocoder is given stays."""
    count = batch.wav.shape[1]
    turns = (torch.arange(count) * round(hertz * count / 22050) % count) / count
    return replace(batch, wav=batch.wav + 0.3 * torch.sin(2 * torch.pi * turns))


def all_losses(objective: VocoderObjective, batch: WaveBatch) -> dict[str, float]:
    result = objective(batch, 0, torch.Generator().manual_seed(1))
    losses = {name: float(value) for name, value in result.losses.items() if name != "pitch"}
    return {**losses, "adversary": float(objective.adversary_loss(batch, result))}


@pytest.mark.parametrize("band", [8000.0, 11025.0])
def test_what_lies_above_the_recordings_band_counts_in_no_loss(spoken: Path, band: float) -> None:
    """And what lies below it does, in all of those that hear the wave."""
    store = FeatureStore.open(spoken)
    objective = judged(store, band=11025.0, narrowed_share=0.0).train()
    batch = one(store, 48)
    batch = replace(batch, band=torch.tensor([band]))
    plain = all_losses(objective, batch)
    high, low = (all_losses(objective, with_tone(batch, hertz)) for hertz in (9500.0, 5000.0))
    waves = ("spectral", "feature_matching", "adversary")
    for name in waves:
        assert abs(low[name] - plain[name]) > 1e-4 * abs(plain[name]), name
        changed = abs(high[name] - plain[name]) > 1e-5 * abs(plain[name])
        assert changed == (band > 9500.0), name
    assert high["mel"] == low["mel"] == plain["mel"]  # the mel is the store's


def test_what_the_vocoder_adds_above_the_recordings_band_counts_in_no_loss(spoken: Path) -> None:
    store = FeatureStore.open(spoken)
    batch, objective = one(store, 48), judged(store, band=11025.0).train()
    leave = objective.model.leave
    above = torch.zeros(3, objective.model.bins, dtype=torch.bool)
    above[:, int(8200 / 22050 * 1024) :] = True
    for band, felt in ((8000.0, False), (11025.0, True)):
        objective.zero_grad()
        given = replace(batch, band=torch.tensor([band]))
        result = objective(given, 0, torch.Generator().manual_seed(1))
        result.total.backward()
        assert leave.bias.grad is not None
        high = leave.bias.grad[above.flatten()].abs().max() / leave.bias.grad.abs().max()
        assert bool(high > 1e-3) == felt


def test_discriminators_are_shown_one_band(spoken: Path) -> None:
    """Up to the recording's, or they would know what is made by the band that one of both lacks."""
    store = FeatureStore.open(spoken)
    batch, objective = one(store, 48), judged(store, band=11025.0).train()
    shown: list[torch.Tensor] = []
    objective.adversary.register_forward_pre_hook(lambda _, given: shown.append(given[0].detach()))

    def share_above(band: float) -> list[float]:
        shown.clear()
        given = replace(with_tone(batch, 9500.0), band=torch.tensor([band]))
        objective.adversary_loss(given, objective(given, 0, torch.Generator().manual_seed(1)))
        power = [
            torch.fft.rfft(wav.double() * torch.hann_window(wav.shape[-1])).abs().square() for wav in shown
        ]
        assert len(power) == 4  # made and recorded, for the model's loss and for their own
        edge = int(8100 / 11025 * power[0].shape[-1])
        return [float(each[..., edge:].sum() / each.sum()) for each in power]

    assert max(share_above(8000.0)) < 1e-7
    assert min(share_above(11025.0)) > 1e-6


def test_some_mels_are_made_as_if_the_recording_ended_there(spoken: Path) -> None:
    store = FeatureStore.open(spoken)
    objective = judged(store, band=11025.0, narrowed_share=1.0).train()
    noise = torch.randn(2, 48 * 256, generator=torch.Generator().manual_seed(0)) * 0.1
    twice = {name: torch.cat([value, value]) for name, value in vars(one(store, 48)).items()}
    full = objective.mel(noise)
    batch = WaveBatch(**{**twice, "wav": noise, "mel": full, "band": torch.tensor([8000.0, 11025.0])})
    batch = replace(batch, mask=torch.ones(2, 48, dtype=torch.bool))
    given = objective._input_mels(batch, torch.Generator().manual_seed(0))
    assert torch.equal(given[0], full[0])  # has no more than that anyway
    assert torch.allclose(given[1, :-3], full[1, :-3], atol=0.05)
    assert float((full[1, -1] - given[1, -1]).mean()) > 0.1
    assert torch.equal(objective.eval()._input_mels(batch, torch.Generator().manual_seed(0)), full)


def test_starts_from_a_vocoder_whose_band_ends_with_the_mel(spoken: Path, tmp_path: Path) -> None:
    narrow, _ = build_objective(settings_of(spoken, "model.band=null"), FeatureStore.open(spoken))
    path, spec = tmp_path / "narrow.safetensors", voiceae.AudioSpec()
    description = settings_of(spoken, "model.band=null").model
    modelfile.save(path, narrow.model, kind="vocoder", description=description, spec=spec)
    objective, _ = build_objective(
        settings_of(spoken, f"trainer.init_from={path}"), FeatureStore.open(spoken)
    )
    assert objective.model.band > spec.f_max
    assert torch.equal(objective.model.enter.weight, narrow.model.enter.weight)


def test_the_pitch_loss_is_least_where_the_reader_is_right(spoken: Path) -> None:
    description = {
        "_target_": "voiceae.vocoders.sourcefilter.SourceFilter",
        "audio": voiceae.AudioSpec().to_dict(),
        **{"channels": 8, "hidden": 8, "n_blocks": 1, "pitch": {"channels": 8, "hidden": 8, "n_blocks": 1}},
    }
    store = FeatureStore.open(spoken)
    objective = VocoderObjective(
        model=modelfile.build(description), spec=store.spec, weights={"pitch": 1.0}, fft_sizes=[256]
    )
    shape = {"batch_size": 4, "crop_frames": 32, "reference_frames": 8, "seed": 0}
    batch = WaveCropSampler(store, "train", **shape).batch(0)
    grid = objective.model.pitch.grid
    sung = torch.tensor([[f0 * step for step in (1.0, 1.2, 0.9)] for f0 in (110.0, 170.0, 240.0)])

    def loss(octaves: float) -> float:
        wanted = sung[batch.speaker] * 2**octaves
        near = (grid[None, None] / wanted[..., None]).log2().abs().amin(1)
        return float(objective._pitch_loss((-50 * near)[:, None].expand(-1, 32, -1), batch))

    assert loss(0.0) < 0.6 * min(loss(0.25), loss(-0.25), loss(1.0))


def test_the_pitch_is_learnt_from_voiced_frames_alone(spoken: Path) -> None:
    """A buzz, then noise: only where the buzz is does the loss depend on what the reader says."""
    store = FeatureStore.open(spoken)
    objective, _ = build_objective(settings_of(spoken), store)
    hop, frames = store.spec.hop_length, 48
    buzz, noise = harmonic(150.0, 1.0), np.random.default_rng(0).standard_normal(frames * hop)
    wav = np.where(np.arange(frames * hop) < 24 * hop, buzz[: frames * hop], 0.1 * noise).astype(np.float32)
    batch = WaveCropSampler(
        store, "train", batch_size=1, crop_frames=frames, reference_frames=8, seed=0
    ).batch(0)
    batch = dataclasses.replace(
        batch, wav=torch.from_numpy(wav)[None], mask=torch.ones(1, frames, dtype=torch.bool)
    )
    logits = torch.zeros(1, frames, len(objective.model.pitch.grid), requires_grad=True)
    objective._pitch_loss(logits, batch).backward()
    felt = logits.grad.abs().sum(-1)[0] > 0
    assert felt[4:20].all() and not felt[28:].any()
