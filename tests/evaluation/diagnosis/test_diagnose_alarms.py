"""Three tiny models made to fail and a healthy one: the verdicts differ as they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tests.evaluation.diagnosis.worlds as worlds
from voiceae.data.store import FeatureStore
from voiceae.evaluation.diagnosis import Verdict
from voiceae.evaluation.diagnosis.diagnose import Diagnosis, diagnose, save_plots
from voiceae.models import VQ

OK, FAILED = Verdict.OK, Verdict.FAILED


@pytest.fixture(scope="module")
def healthy(world: FeatureStore) -> Diagnosis:
    model = worlds.build("GaussianBottleneck", 8, world)
    return diagnose(worlds.train(model, world, 160, kl=0.03, perturbed_share=0.75), world)


@pytest.fixture(scope="module")
def collapsed(world: FeatureStore) -> Diagnosis:
    return diagnose(worlds.train(worlds.build("GaussianBottleneck", 8, world), world, 60, kl=100.0), world)


@pytest.fixture(scope="module")
def wide_open(world: FeatureStore) -> Diagnosis:
    return diagnose(worlds.train(worlds.build("LinearBottleneck", 32, world), world, 80), world)


@pytest.fixture(scope="module")
def dead_codebook(world: FeatureStore) -> Diagnosis:
    model = worlds.build("VQ", 8, world, size=32, revive_below=0.0)
    bottleneck = model.bottleneck
    assert isinstance(bottleneck, VQ)
    bottleneck.codebook[1:] += 50  # far from anything an encoder gives
    bottleneck.cluster_sum.copy_(bottleneck.codebook)
    bottleneck.started.fill_(True)
    return diagnose(worlds.train(model, world, 60), world)


def test_a_healthy_model_is_found_healthy(healthy: Diagnosis) -> None:
    verdicts = {finding.area: finding.verdict for finding in healthy.findings}
    # What lies below the noise of the posterior is still seen in its means.
    assert verdicts.pop("leakage") is Verdict.WARNING
    assert verdicts == dict.fromkeys(("collapse", "aggregate", "speakers", "spoken"), OK)
    assert healthy.area("leakage").figures["leaked_share"]["sampled"] < 0.45


def test_a_healthy_code_makes_a_clear_difference(healthy: Diagnosis) -> None:
    errors = healthy.area("collapse").figures["reconstruction"]
    assert errors["shuffled"] > 1.3 * errors["as it is"]
    assert min(errors["zeroed"], errors["prior"]) > 1.2 * errors["as it is"]


def test_an_overwhelming_kl_is_found(collapsed: Diagnosis, healthy: Diagnosis) -> None:
    found = collapsed.area("collapse")
    assert found.verdict is FAILED and found.figures["active_units"] == 0
    assert found.figures["shuffled_to_own"] == pytest.approx(1, abs=0.02)
    assert collapsed.area("leakage").verdict is OK  # nothing is passed on, so no voice is either
    assert healthy.area("collapse").figures["active_units"] >= 4


def test_an_open_bottleneck_is_found(wide_open: Diagnosis, healthy: Diagnosis) -> None:
    found = wide_open.area("leakage")
    assert found.verdict is FAILED and wide_open.area("collapse").verdict is OK
    assert found.figures["leaked_share"]["codes"] > 0.66  # what 30 times chance is among 170 speakers
    assert (
        found.figures["times_chance"]["codes"]
        > 3 * healthy.area("leakage").figures["times_chance"]["sampled"]
    )


def test_a_dead_codebook_is_found(dead_codebook: Diagnosis) -> None:
    found = dead_codebook.area("codebook")
    assert found.verdict is FAILED and found.figures["dead_codes"] == 31
    assert found.figures["bits_per_second"] == pytest.approx(0, abs=1e-6)
    assert dead_codebook.area("collapse").verdict is FAILED


def test_shuffled_labels_give_chance_and_the_mel_does_not(healthy: Diagnosis, wide_open: Diagnosis) -> None:
    for diagnosis in (healthy, wide_open):
        times = diagnosis.area("leakage").figures["times_chance"]
        assert times["shuffled"] < 3 and times["mel"] > 15


def test_voices_are_told_apart_and_what_is_said_stays_out(healthy: Diagnosis) -> None:
    assert healthy.area("speakers").figures["equal_error_rate"] < 0.1
    figures = healthy.area("spoken").figures
    assert figures["accuracy"]["shuffled"] == pytest.approx(1 / figures["choices"], abs=0.15)
    assert abs(figures["own_vector_gain"]) < 0.05


def test_every_finding_says_so_in_one_sentence(healthy: Diagnosis, dead_codebook: Diagnosis) -> None:
    for finding in (*healthy.findings, *dead_codebook.findings):
        assert "\n" not in finding.reason and 20 < len(finding.reason) < 300


def test_a_page_is_drawn_for_every_kind(
    healthy: Diagnosis, wide_open: Diagnosis, dead_codebook: Diagnosis, tmp_path: Path
) -> None:
    for number, diagnosis in enumerate((healthy, wide_open, dead_codebook)):
        save_plots(diagnosis, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_diagnosis(world: FeatureStore) -> None:
    model = worlds.build("GaussianBottleneck", 8, world)
    noise = torch.get_rng_state()
    first, second = (diagnose(model, world, quick=True) for _ in range(2))
    assert [f.to_dict() for f in first.findings] == [f.to_dict() for f in second.findings]
    assert torch.equal(noise, torch.get_rng_state())


def test_without_held_out_speakers_it_is_said(small_world: Path) -> None:
    store = FeatureStore.open(small_world)
    kept = [replace(u, split="train") for u in store.utterances]
    found = diagnose(worlds.build("LinearBottleneck", 8, store), replace(store, utterances=kept)).area(
        "speakers"
    )
    assert found.verdict is not OK and "nothing is known of new voices" in found.reason


def test_a_store_without_voices_cannot_show_a_leak(small_world: Path) -> None:
    store = FeatureStore.open(small_world)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(store.shards[0].shape).astype(np.float16)
    found = diagnose(worlds.build("LinearBottleneck", 8, store), replace(store, shards=[noise])).area(
        "leakage"
    )
    assert found.verdict is Verdict.WARNING and "cannot show a leak" in found.reason
