from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from voiceae.conversion.backends.torch import TorchBackend
from voiceae.conversion.voice import Voice
from voiceae.errors import ModelFileError
from voiceae.latent.posterior import ContentPosterior, Melody, Mixture, VoicePosterior
from voiceae.latent.sampling import (
    build_content,
    pitch_distributions,
    random_chain,
    random_content,
    random_melody,
    random_noise,
    random_profile,
)

DIM = 8  # of the tiny model


@pytest.fixture
def posterior() -> ContentPosterior:
    rng = np.random.default_rng(0)
    transitions = np.array([[0.9, 0.1], [0.3, 0.7]])
    factors = np.tril(rng.standard_normal((2, DIM, DIM))) * 0.2 + np.eye(DIM)
    mixture = Mixture(np.array([0.75, 0.25]), rng.standard_normal((2, DIM)), factors)
    return ContentPosterior(
        mixture, transitions, np.linspace(0, 0.9, DIM), np.array([0.2, 0.8]), Melody(0.3, 0.9)
    )


def test_a_chain_follows_its_transitions(posterior: ContentPosterior, rng: np.random.Generator) -> None:
    chain = random_chain(posterior, 20000, rng)
    stays = (chain[1:] == chain[:-1])[chain[:-1] == 0].mean()
    assert stays == pytest.approx(0.9, abs=0.01) and chain.mean() == pytest.approx(0.25, abs=0.03)
    alone = random_chain(posterior, 20000, rng, independent=True)
    assert alone.mean() == pytest.approx(0.25, abs=0.01)
    assert np.corrcoef(alone[1:], alone[:-1])[0, 1] == pytest.approx(0, abs=0.03)


def test_neighbours_are_alike_but_every_frame_is_white(
    posterior: ContentPosterior, rng: np.random.Generator
) -> None:
    noise = random_noise(posterior.persistence, np.zeros(30000, np.int64), rng)
    np.testing.assert_allclose(noise.std(0), 1, atol=0.05)
    found = [np.corrcoef(noise[1:, d], noise[:-1, d])[0, 1] for d in range(DIM)]
    np.testing.assert_allclose(found, posterior.persistence, atol=0.03)


def test_contents_of_the_prior_are_independent_normal_frames(
    tiny_voice: Voice, rng: np.random.Generator
) -> None:
    units = random_content(tiny_voice, None, 60, rng).units[0].numpy()
    assert units.shape[0] == DIM
    np.testing.assert_allclose(units.mean(1), 0, atol=0.12)
    np.testing.assert_allclose(units.std(1), 1, atol=0.1)


def test_contents_of_the_posterior_have_its_moments(
    tiny_voice: Voice, posterior: ContentPosterior, rng: np.random.Generator
) -> None:
    mixture = posterior.mixture
    for independent in (False, True):
        content = random_content(tiny_voice, posterior, 200, rng, independent=independent)
        np.testing.assert_allclose(content.units[0].mean(1), mixture.weights @ mixture.means, atol=0.25)
    assert content.frames == tiny_voice.spec.seconds_to_frames(200)
    assert content.units.shape[-1] == -(-content.frames // tiny_voice.model.rate)
    np.testing.assert_allclose(content.pitch.sum(1), 1, atol=1e-4)


def test_codes_of_a_discrete_prior_are_its_codes(vq_voice: Voice, rng: np.random.Generator) -> None:
    units = random_content(vq_voice, None, 3, rng).units[0].T.numpy()
    book = vq_voice.model.bottleneck.codebook.numpy()
    np.testing.assert_allclose(np.linalg.norm(units[:, None] - book, axis=2).min(1), 0, atol=1e-6)


def test_without_a_prior_there_is_nothing_to_draw(tiny_voice: Voice, rng: np.random.Generator) -> None:
    from tests.tiny import small_model

    bare = replace_model(tiny_voice, small_model("open").eval())
    with pytest.raises(ModelFileError, match="LinearBottleneck has no prior"):
        random_content(bare, None, 1, rng)


def replace_model(voice: Voice, model: object) -> Voice:
    return Voice(TorchBackend(model=model, spec=voice.spec, vocoder=voice.vocoder, name="bare"))  # type: ignore[arg-type]


def test_voices(tiny_voice: Voice, rng: np.random.Generator) -> None:
    prior = np.stack([random_profile(tiny_voice, None, rng).embedding for _ in range(300)])
    np.testing.assert_allclose(np.linalg.norm(prior, axis=1), 1, atol=1e-6)
    assert np.linalg.norm(prior.mean(0)) < 0.15  # any direction alike
    size = tiny_voice.embedding_size
    width = size + 1 + 2 * 80
    offset = np.concatenate([np.eye(size)[0], [2.0], np.full(80, -3.0), np.zeros(80)])
    still = VoicePosterior(
        Mixture(np.ones(1), np.zeros((1, width)), np.zeros((1, width, width))),
        offset,
        np.ones(width),
        size,
        50.0,
    )
    voice = random_profile(tiny_voice, still, rng)
    np.testing.assert_allclose(voice.embedding, np.eye(size)[0])
    assert voice.pitch_centre == 2 and voice.mel_statistics is not None and voice.mel_statistics.frames == 50
    np.testing.assert_allclose(voice.mel_statistics.mean, -3)
    np.testing.assert_allclose(voice.mel_statistics.deviation, 1)
    moving = replace(still, mixture=replace(still.mixture, factors=np.eye(width)[None]))
    assert np.linalg.norm(random_profile(tiny_voice, moving, rng).embedding) == pytest.approx(1)


def test_a_bump_lies_where_it_should() -> None:
    found = pitch_distributions(40, np.array([10.0, 20.5, 99.0]), np.array([1.0, 1.0, 0.0])).numpy()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    np.testing.assert_allclose((found * np.arange(40)[:, None]).sum(0)[:2], [10, 20.5], atol=1e-4)
    np.testing.assert_allclose(found[:, 2], 1 / 40, atol=1e-6)
    assert pitch_distributions(0, np.zeros(3), np.ones(3)).shape == (0, 3)


def test_a_melody_is_heard_about_the_centre(tiny_voice: Voice, rng: np.random.Generator) -> None:
    octaves = random_melody(Melody(0.3, 0.9), 4000, rng)
    assert octaves.std() == pytest.approx(0.3, rel=0.15)
    content = build_content(tiny_voice, np.zeros((1000, DIM)), np.ones(4000), octaves)
    profile = content.pitch[0].argmax(0).numpy() / 36 - content.pitch_centre.item()
    inside = np.abs(octaves) < 0.8
    np.testing.assert_allclose(profile[inside], octaves[inside], atol=0.03)
