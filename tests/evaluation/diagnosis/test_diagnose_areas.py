"""Every area on encoded whose answer is known without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

import tests.evaluation.diagnosis.worlds as worlds
from voiceae.data.store import FeatureStore, Utterance
from voiceae.errors import ModelFileError, StoreError
from voiceae.evaluation.diagnosis import Verdict, grade
from voiceae.evaluation.diagnosis.collapse import (
    BINS,
    Moments,
    aggregated_moments,
    dimension_figures,
    find_aggregate,
    find_codebook,
    run_lengths,
)
from voiceae.evaluation.diagnosis.diagnose import diagnose
from voiceae.evaluation.diagnosis.encoded_clips import (
    Clips,
    EncodedClips,
    Size,
    draw_held_out_clips,
    draw_training_clips,
    encode_clips,
    pooled_statistics,
)
from voiceae.evaluation.diagnosis.leakage import PROBES, ProbeInputs, leaked_share, probe_accuracy
from voiceae.evaluation.diagnosis.speaker_space import (
    find_speaker_space,
    find_spoken_content,
    retrieval_accuracy,
)

SPEAKERS, EACH, FRAMES = 10, 10, 12


def invented(seed: int = 0) -> Clips:
    speaker = torch.arange(SPEAKERS).repeat_interleave(EACH)
    mask = torch.arange(FRAMES) < torch.randint(
        6, FRAMES + 1, (len(speaker), 1), generator=torch.Generator().manual_seed(seed)
    )
    names = [f"s{i}" for i in range(SPEAKERS)]
    return Clips(torch.zeros(len(speaker), FRAMES, 4), mask, names, EACH, speaker)


def encoded_of(units: Tensor, mask: Tensor | None = None, **others: Tensor | None) -> EncodedClips:
    mask = torch.ones(units.shape[:2], dtype=torch.bool) if mask is None else mask
    defaults = {"log_variance": None, "codes": None, "speaker": torch.zeros(len(units), 4), "mel": units}
    return EncodedClips(**{"units": units, "mask": mask, **defaults, **others})


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_probe_finds_a_voice_that_is_there_and_none_that_is_not(probe) -> None:
    clips, noise = invented(), torch.randn(100, FRAMES, 6, generator=torch.Generator().manual_seed(1))
    voice = torch.randn(SPEAKERS, 6, generator=torch.Generator().manual_seed(2))[clips.speaker]
    plain = probe_accuracy(
        probe, ProbeInputs.of(noise + 2 * voice[:, None], clips.mask, clips), clips.speaker, clips, 0
    )
    absent = probe_accuracy(probe, ProbeInputs.of(noise, clips.mask, clips), clips.speaker, clips, 0)
    assert plain > 0.7 and absent <= 0.35


def test_probes_do_not_see_padding() -> None:
    clips = invented()
    frames = torch.randn(100, FRAMES, 6)
    padded = torch.where(clips.mask[..., None], frames, 99.0)
    one, other = (ProbeInputs.of(x, clips.mask, clips) for x in (frames, padded))
    torch.testing.assert_close(one.statistics, other.statistics)
    probe = PROBES[2].make(6, SPEAKERS).eval()
    logits = probe(one.frames, clips.mask)
    torch.testing.assert_close(logits, probe(other.frames, clips.mask))
    longer = torch.nn.functional.pad(one.frames, (0, 0, 0, 9)), torch.nn.functional.pad(clips.mask, (0, 9))
    torch.testing.assert_close(logits, probe(*longer))


def test_pooled_statistics_are_those_of_numpy() -> None:
    frames, mask = torch.randn(1, 9, 3), torch.arange(9)[None] < 7
    valid = frames[0, :7].double().numpy()
    expected = [valid.mean(0), np.log(valid.std(0)), np.log(np.diff(valid, axis=0).std(0))]
    np.testing.assert_allclose(
        pooled_statistics(frames, mask)[0], np.concatenate(expected), rtol=1e-4, atol=1e-5
    )


def test_what_leaked_is_zero_at_chance_and_one_when_all_are_told() -> None:
    assert leaked_share(1 / 170, 170) == pytest.approx(0) and leaked_share(1.0, 12) == pytest.approx(1)
    assert leaked_share(30 / 170, 170) == pytest.approx(0.662, abs=1e-3)


def test_no_clip_is_both_fitted_and_scored() -> None:
    clips = invented()
    parts = [set(clips.rows(part).tolist()) for part in ("fit", "check", "held")]
    assert [len(part) for part in parts] == [70, 10, 20] and len(set.union(*parts)) == 100
    for part in parts:
        assert torch.bincount(clips.speaker[sorted(part)]).unique().numel() == 1


def test_kl_and_active_units_of_each_dimension() -> None:
    mean = torch.zeros(5, 400, 3)
    mean[..., 0] = 2 * torch.randn(5, 400)
    mean[..., 1] = 3.0  # far from the prior, but always the same
    log_variance = torch.zeros(5, 400, 3)
    log_variance[..., 2] = -1.0
    kl, variance = dimension_figures(encoded_of(mean, log_variance=log_variance))
    assert kl[0] == pytest.approx(0.5 * float(mean[..., 0].square().mean()), rel=1e-4) and kl[1] == 4.5
    assert kl[2] == pytest.approx(0.5 * (np.exp(-1) - 1 + 1), rel=1e-5)
    assert (variance > 0.01).tolist() == [True, False, False]


def test_kl_of_the_fitted_gaussian_is_that_of_torch() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    moments = Moments(rng.normal(size=4), root @ root.T + np.eye(4))
    fitted = MultivariateNormal(torch.tensor(moments.mean), torch.tensor(moments.covariance))
    prior = MultivariateNormal(torch.zeros(4).double(), torch.eye(4).double())
    assert moments.kl == pytest.approx(float(kl_divergence(fitted, prior)), rel=1e-9)


def test_codes_of_the_prior_pass_and_codes_beside_it_do_not() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = 0.8 * torch.randn(50, 60, 3, generator=generator)
    good = encoded_of(mean, log_variance=torch.full_like(mean, np.log(1 - 0.64)))
    found = find_aggregate(good, 1.0, generator)
    assert found.verdict is Verdict.OK and found.figures["kl_of_fitted_gaussian_nats"] < 0.01
    assert (found.series["histograms"].sum(1) * np.diff(BINS)[0]).tolist() == pytest.approx(
        [1, 1, 1], abs=1e-3
    )
    np.testing.assert_allclose(aggregated_moments(good).covariance, np.eye(3), atol=0.05)
    moved = encoded_of(mean + 3, log_variance=good.log_variance)
    assert find_aggregate(moved, 14.5, generator).verdict is Verdict.FAILED


def test_runs_of_codes_are_counted_in_what_is_valid() -> None:
    codes = torch.tensor([[1, 1, 2, 2, 2, 9], [3, 3, 3, 3, 4, 3]])
    mask = torch.tensor([[True] * 5 + [False], [True] * 6])
    assert run_lengths(codes, mask).tolist() == [2, 3, 4, 1, 1]


def test_codebook_in_even_use_has_its_own_size_as_perplexity() -> None:
    codes = torch.arange(64).repeat(10).view(8, 80)
    found = find_codebook(encoded_of(torch.zeros(8, 80, 2), codes=codes), 64, 20.0)
    assert found.verdict is Verdict.OK and found.figures["perplexity"] == pytest.approx(64)
    assert (
        found.figures["bits_per_second"] == pytest.approx(120) and found.figures["mean_run_seconds"] == 0.05
    )
    assert (
        find_codebook(encoded_of(torch.zeros(8, 80, 2), codes=codes), 1024, 20.0).verdict is Verdict.WARNING
    )


def test_speaker_space_of_separate_and_of_muddled_voices() -> None:
    generator = torch.Generator().manual_seed(0)
    speaker = torch.arange(8).repeat_interleave(6)
    noise = torch.randn(48, 16, generator=generator)
    centres = torch.randn(8, 16, generator=generator)[speaker]
    apart = find_speaker_space(centres + 0.1 * noise, speaker, held_out=True)
    assert apart.verdict is Verdict.OK and apart.figures["equal_error_rate"] == 0
    assert apart.figures["nearest_neighbour_accuracy"] == 1
    muddled = find_speaker_space(noise, speaker, held_out=True)
    assert muddled.verdict is Verdict.FAILED and muddled.figures["equal_error_rate"] > 0.4
    assert muddled.figures["nearest_neighbour_accuracy"] < 0.5


def test_a_vector_that_knows_its_words_is_found_and_one_that_does_not_is_at_chance() -> None:
    clips, rng = invented(), np.random.default_rng(0)
    shares = rng.normal(size=(100, 5))
    voice = rng.normal(size=(SPEAKERS, 12)).repeat(EACH, 0)
    telling = voice + 0.01 * np.pad(shares @ rng.normal(size=(5, 5)), ((0, 0), (0, 7)))
    assert retrieval_accuracy(telling, shares, clips) > 0.9
    unknowing = voice + 0.01 * rng.normal(size=voice.shape)
    assert retrieval_accuracy(unknowing, shares, clips) == pytest.approx(0.5, abs=0.25)


def test_words_in_the_speaker_vector_count_only_where_the_decoder_hears_them() -> None:
    clips, rng = invented(), np.random.default_rng(0)
    # Eight sounds, each clip full of two of them, and a vector that says which.
    generator = torch.Generator().manual_seed(0)
    two = torch.rand(100, 8, generator=generator).argsort(-1)[:, :2]
    sound = two.gather(1, torch.randint(2, (100, FRAMES), generator=generator))
    shapes, noise = (torch.randn(*shape, generator=generator) for shape in ((8, 80), (100, FRAMES, 80)))
    which = torch.zeros(100, 8).scatter_(1, two, 1.0)
    encoded = encoded_of(3 * shapes[sound] + noise, clips.mask, speaker=which)
    verdicts = [
        find_spoken_content(encoded, clips, {"as it is": 1.0, "own voice": 1.0 - gain}, rng).verdict
        for gain in (0.0, 0.1, 0.5)
    ]
    assert verdicts == [Verdict.OK, Verdict.WARNING, Verdict.FAILED]


def test_grades_follow_the_order_of_their_limits() -> None:
    rising = [grade(value, 1, 2) for value in (0.5, 1.5, 2.5, float("nan"))]
    assert rising == [Verdict.OK, Verdict.WARNING, Verdict.FAILED, Verdict.FAILED]
    assert [grade(value, 2, 1) for value in (2.5, 1.5, 0.5)] == [Verdict.OK, Verdict.WARNING, Verdict.FAILED]


def test_clips_are_balanced_and_cut_to_size(world: FeatureStore) -> None:
    clips = draw_training_clips(world, Size(speakers=5, clips=8, seconds=0.5), np.random.default_rng(0))
    assert clips.mel.shape == (40, world.spec.seconds_to_frames(0.5), 80) and clips.per_speaker == 8
    assert torch.bincount(clips.speaker).tolist() == [8] * 5
    others = draw_held_out_clips(world, Size(), np.random.default_rng(0))
    assert others is not None and set(others.speakers) == {"s24", "s25", "s26", "s27"}
    assert not set(clips.speakers) & set(others.speakers)


def test_the_number_of_clips_each_keeps_as_many_as_it_can(world: FeatureStore) -> None:
    def kept(u: Utterance) -> bool:
        return u.speaker < "s10" or int(u.utterance[1:]) < (18 if u.speaker < "s20" else 3)

    rows = [u if kept(u) else replace(u, split="valid_speakers") for u in world.utterances]
    clips = draw_training_clips(replace(world, utterances=rows), Size(), np.random.default_rng(0))
    # 10 speakers have 20 clips and 10 have 18: 20 * 18 is more than 10 * 20.
    assert (len(clips.speakers), clips.per_speaker) == (20, 18)


def test_readings_of_a_padded_clip_are_those_of_the_clip_alone(small_world: Path) -> None:
    store = FeatureStore.open(small_world)
    model = worlds.build("GaussianBottleneck", 8, store).eval()
    clips = draw_training_clips(store, Size(), np.random.default_rng(0))
    encoded = encode_clips(model, clips, lambda items, total, what: items)
    row = int(clips.mask.sum(1).argmin())
    length = int(clips.mask[row].sum())
    alone = model.encode(clips.mel[row : row + 1, :length].float().transpose(1, 2)).units[0].T
    torch.testing.assert_close(encoded.units[row][encoded.mask[row]], alone, rtol=1e-3, atol=1e-4)


def test_too_few_speakers_and_other_models_are_refused(tmp_path: Path) -> None:
    store = FeatureStore.open(worlds.write_store(tmp_path / "few", speakers=3, clips=5))
    with pytest.raises(StoreError, match="3 training speakers with 5 utterances"):
        diagnose(worlds.build("LinearBottleneck", 8, store), store)
    with pytest.raises(ModelFileError, match="no autoencoder"):
        diagnose(torch.nn.Linear(2, 2), store)
