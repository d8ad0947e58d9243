"""Fitting the aggregated posterior to recordings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voiceae.conversion.batch import Failure
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError, ConfigError
from voiceae.io.console import Progress
from voiceae.io.filesystem import FILE_ERRORS, reason
from voiceae.latent.posterior import Array, ContentPosterior, Melody, Mixture, Posterior, VoicePosterior
from voiceae.latent.recordings import Clip, bins_per_octave
from voiceae.models import Content

HELD_OUT = 10  # every tenth clip is kept to compare densities on
_CLEAR = 0.5  # of a pitch distribution in one grid point and its neighbours: a pitch to believe
_MAX_FRAMES = 50_000  # that a mixture is fitted to; more change nothing but the time it takes
_MIN_SPEAKERS = 8  # with fewer, a density of speakers is those speakers
_MAX_CODES = 1024  # of a discrete model that get a component; the others go with the nearest
_MIN_VECTORS = 10  # a component, and a dimension for a covariance of its own
_RIDGE = 1e-4  # share of the mean variance that every covariance keeps, so that it can be inverted


@dataclass(frozen=True)
class CodedClip:
    """Codes and pitch of one clip, for the fit.

    Attributes:
        frames: (T', D) drawn from the posterior of each frame, or the code's own vector.
        codes: (T',) where the bottleneck is discrete.
        clarity: (T',) of the pitch, 0 to 1.
        melody: (T,) octaves about the clip's centre, NaN where no pitch is clear.
    """

    frames: Array
    codes: NDArray[np.int64] | None
    clarity: Array
    melody: Array


def fit_posterior(
    voice: Voice,
    clips: Sequence[Clip],
    *,
    components: int = 8,
    voice_components: int = 1,
    seed: int = 0,
    progress: Progress = iter,
) -> tuple[Posterior, list[Failure]]:
    """Fit the densities of the content codes of clips and of their speakers.

    Args:
        voice: the model.
        clips: of at least eight speakers.
        components: of the mixture over code frames, 1 for a Gaussian; a discrete model has its codes instead.
        voice_components: of the mixture over voices.
        seed: of what is drawn.
        progress: wraps the clips, for a progress bar.

    Returns:
        The posterior, and the clips that could not be used.

    Raises:
        AudioError: for too few clips or speakers that can be used.
        ConfigError: for more components than the clips can bear.
    """
    rng = np.random.default_rng(seed)
    coded, profiles, failures = _encode_clips(voice, clips, rng, progress)
    if len(profiles) < _MIN_SPEAKERS or len(coded) < HELD_OUT:
        raise AudioError(
            f"{len(coded)} clips of {len(profiles)} speakers could be used; a posterior needs {HELD_OUT} clips "
            f"of {_MIN_SPEAKERS} speakers"
        )
    dealt = [coded[place] for place in rng.permutation(len(coded))]
    count = -(-len(coded) // HELD_OUT)
    held, fit = dealt[:count], dealt[count:]
    content, figures = _fit_content(fit, held, components, rng)
    # A voice whose pitch cannot be relied on (whispered, creaking, noise) has no place in a space with one for pitch.
    means = [SpeakerProfile.mean(each) for each in profiles.values()]
    means = [each for each in means if each.pitch_centre is not None]
    if len(means) < _MIN_SPEAKERS:
        raise AudioError(
            f"{len(means)} of {len(profiles)} speakers have a pitch that can be relied on; a posterior needs "
            f"{_MIN_SPEAKERS}; give clearer recordings"
        )
    voices = fit_voices(means, voice_components, rng)
    about = {"clips": len(coded), "speakers": len(means), "voice_components": voice_components, **figures}
    return Posterior(content, voices, voice.fingerprint, about), failures


def _encode_clips(
    voice: Voice, clips: Sequence[Clip], rng: np.random.Generator, progress: Progress
) -> tuple[list[CodedClip], dict[str, list[SpeakerProfile]], list[Failure]]:
    coded, profiles, failures = [], defaultdict(list), []
    for clip in progress(clips):
        try:
            mel = clip.mel()
        except FILE_ERRORS as error:
            failures.append(Failure(clip.name, reason(error, clip.name)))
            continue
        # Their frames, 130 KB a clip, have no distribution that could be drawn from.
        profiles[clip.speaker].append(replace(voice.describe_mel(mel.numpy(force=True)), timbre=None))
        content = voice.encode_mel(mel)
        frames = np.asarray(content.units[0].T.double().numpy(force=True))
        posterior = getattr(voice.model.bottleneck, "posterior", None)
        if posterior is not None:  # a sample of each frame's, as the decoder was given in training
            with voice.torch_backend.inference(content.frames):
                _, log_variance = posterior(content.features)
            deviation = np.exp(0.5 * log_variance[0].double().numpy(force=True))
            frames = frames + deviation * rng.standard_normal(frames.shape)
        found = content.bottlenecked.codes
        codes = None if found is None else found[0].numpy(force=True).astype(np.int64)
        coded.append(CodedClip(frames, codes, *_read_pitch(voice, content)))
    return coded, dict(profiles), failures


def _read_pitch(voice: Voice, content: Content) -> tuple[Array, Array]:
    """Clarity by code frame, and the melody by mel frame."""
    pitch = content.pitch[0].double()
    count = content.units.shape[-1]
    if not len(pitch):
        return np.zeros(count), np.full(content.frames, np.nan)
    best = pitch.argmax(0)
    around = torch.nn.functional.pad(pitch, (0, 0, 1, 1))
    mass = sum(around.gather(0, (best + shift)[None])[0] for shift in range(3))
    assert isinstance(mass, torch.Tensor)
    octaves = best.double() / bins_per_octave(voice) - content.pitch_centre[0].double()
    melody = np.where(mass.numpy(force=True) > _CLEAR, octaves.numpy(force=True), np.nan)
    rate = voice.model.rate
    padded = torch.nn.functional.pad(mass, (0, count * rate - len(mass)))
    return padded.view(count, rate).mean(1).numpy(force=True), melody


def _fit_content(
    fit: Sequence[CodedClip], held: Sequence[CodedClip], components: int, rng: np.random.Generator
) -> tuple[ContentPosterior, dict[str, Any]]:
    from scipy.cluster.vq import vq

    frames = np.concatenate([each.frames for each in fit])
    if fit[0].codes is not None:
        # A component without spread for every code in use, or for the most frequent ones of very many.
        codes = np.concatenate([each.codes for each in fit if each.codes is not None])
        _, first, counts = np.unique(codes, return_index=True, return_counts=True)
        means = frames[first[np.sort(np.argsort(-counts, kind="stable")[:_MAX_CODES])]]
        size, dim = means.shape
        mixture = Mixture(np.full(size, 1 / size), means, np.zeros((size, dim, dim)))
        chosen = [vq(each.frames, means)[0] for each in fit]
    else:
        drawn = frames if len(frames) <= _MAX_FRAMES else rng.permutation(frames)[:_MAX_FRAMES]
        mixture = fit_mixture(drawn, components, rng)
        chosen = [mixture.log_densities(each.frames).argmax(1) for each in fit]
    transitions = transition_matrix(chosen, mixture.size)
    mixture = replace(mixture, weights=stationary_distribution(transitions))
    clarity = np.concatenate([each.clarity for each in fit])
    whole = np.concatenate(chosen)
    counts = np.bincount(whole, minlength=mixture.size)
    content = ContentPosterior(
        mixture=mixture,
        transitions=transitions,
        persistence=_persistence(fit, chosen, mixture),
        clarity=np.bincount(whole, clarity, minlength=mixture.size) / np.maximum(counts, 1),
        melody=fit_melody([each.melody for each in fit]),
    )
    return content, {"components": mixture.size, **_figures(content, fit, held)}


def fit_mixture(
    vectors: NDArray[np.floating[Any]], size: int, rng: np.random.Generator | None = None
) -> Mixture:
    """Fit a mixture of Gaussians by expectation-maximisation from a k-means start: (n, D) ->.

    With fewer than ten vectors a dimension for each component, their covariances are drawn towards that of all
    vectors: it is the prior of a Bayesian mixture, with the weight of one vector a dimension.

    Args:
        vectors: to be described.
        size: number of components, K; 1 is a Gaussian.
        rng: of the start; not needed for one component.

    Raises:
        ConfigError: for fewer than ten vectors a component.
    """
    from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

    count, dim = vectors.shape
    if size < 1 or count < _MIN_VECTORS * size:
        raise ConfigError(f"{size} components for {count} vectors; a component needs ten of them")
    whole = np.atleast_2d(np.cov(vectors, rowvar=False, bias=True))
    options = {
        "n_components": size,
        "reg_covar": _RIDGE * np.trace(whole) / dim + 1e-12,
        "random_state": None if rng is None else int(rng.integers(2**31)),
    }
    if size == 1 or count >= _MIN_VECTORS * dim * size:
        model = GaussianMixture(**options)
    else:
        model = BayesianGaussianMixture(
            **options,
            covariance_prior=dim * whole,
            degrees_of_freedom_prior=dim,
            mean_precision_prior=1e-6,  # means and weights are the data's own
            weight_concentration_prior_type="dirichlet_distribution",
        )
    model.fit(np.asarray(vectors, np.float64))
    return Mixture(model.weights_, model.means_, np.linalg.cholesky(model.covariances_))


def transition_matrix(chains: Iterable[NDArray[np.int64]], size: int) -> Array:
    """How often one component follows another, each row drawn a little towards the overall counts: -> (K, K)."""
    counts, after = np.zeros((size, size)), np.zeros(size)
    for chain in chains:
        np.add.at(counts, (chain[:-1], chain[1:]), 1)
        after += np.bincount(chain, minlength=size)
    # One transition a component is added, shared out by the overall counts, so that none is impossible.
    smoothed = counts + after / after.sum()
    return np.asarray(smoothed / smoothed.sum(1, keepdims=True))


def stationary_distribution(transitions: Array) -> Array:
    """Shares of the components in the long run: (K, K) -> (K,)."""
    size = len(transitions)
    system = np.concatenate([transitions.T - np.eye(size), np.ones((1, size))])
    shares = np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0]
    return np.asarray(np.maximum(shares, 0) / np.maximum(shares, 0).sum())


def _persistence(fit: Sequence[CodedClip], chosen: Sequence[NDArray[np.int64]], mixture: Mixture) -> Array:
    """Correlation of neighbouring frames within a component, of the whitened codes: -> (D,)."""
    from scipy.linalg import solve_triangular

    dim = mixture.means.shape[1]
    if not mixture.factors.any():
        return np.zeros(dim)
    products, squares = np.zeros(dim), np.full(dim, 1e-9)
    for each, path in zip(fit, chosen, strict=True):
        white = np.zeros_like(each.frames)
        for component in np.unique(path):
            rows = path == component
            apart = each.frames[rows] - mixture.means[component]
            white[rows] = solve_triangular(mixture.factors[component], apart.T, lower=True).T
        same = path[:-1] == path[1:]
        products += (white[:-1] * white[1:])[same].sum(0)
        squares += 0.5 * (white[:-1] ** 2 + white[1:] ** 2)[same].sum(0)
    return np.asarray(np.clip(products / squares, 0, 0.99))  # at 1 a draw would never move


def fit_melody(tracks: Sequence[Array]) -> Melody:
    """Fit deviation and steadiness to pitch contours in octaves, with gaps of NaN: n times (T,) ->."""
    # Beyond an octave of the median lie octave errors of the tracker rather than intonation.
    near = [np.where(np.abs(track) < 1, track, np.nan) for track in tracks]
    known = np.concatenate(near)
    known = known[np.isfinite(known)]
    if len(known) < 10:
        return Melody(0.0, 0.0)
    pairs = np.concatenate([np.stack([track[:-1], track[1:]]) for track in near], axis=1)
    before, after = pairs[:, np.isfinite(pairs).all(0)]
    steadiness = float((before * after).sum() / max(0.5 * (before**2 + after**2).sum(), 1e-9))
    return Melody(float(np.sqrt(np.mean(known**2))), float(np.clip(steadiness, 0, 0.999)))


def _figures(
    content: ContentPosterior, fit: Sequence[CodedClip], held: Sequence[CodedClip]
) -> dict[str, Any]:
    """Fit on held-out clips: log-likelihood in nats a frame of a continuous code, bits of a discrete one."""
    from scipy.cluster.vq import vq

    used = [each.codes for each in fit if each.codes is not None]
    if used:
        chains = [vq(each.frames, content.mixture.means)[0] for each in held]
        follows = np.concatenate([content.transitions[chain[:-1], chain[1:]] for chain in chains])
        alone = np.maximum(content.mixture.weights, 1e-9)[np.concatenate(chains)]
        return {
            "codes_in_use": len(np.unique(np.concatenate(used))),
            "bits_alone": round(float(-np.log2(alone).mean()), 3),
            "bits_after_the_one_before": round(float(-np.log2(follows).mean()), 3),
        }
    frames = np.concatenate([each.frames for each in held])
    gaussian = fit_mixture(np.concatenate([each.frames for each in fit]), 1)
    prior = -0.5 * (np.square(frames).sum(1) + frames.shape[1] * np.log(2 * np.pi))  # N(0, I), the VAE's
    return {
        "nats_under_prior": round(float(prior.mean()), 3),
        "nats_under_gaussian": round(float(gaussian.log_density(frames).mean()), 3),
        "nats_under_mixture": round(float(content.mixture.log_density(frames).mean()), 3),
    }


def fit_voices(voices: Sequence[SpeakerProfile], components: int, rng: np.random.Generator) -> VoicePosterior:
    """Fit the density of speakers with their pitch and mel statistics: a shrunk Gaussian, or a mixture.

    A few hundred speakers have hundreds of numbers each, so the covariance of one Gaussian is shrunk towards a sphere
    (Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices").

    Args:
        voices: of different speakers, with median pitch and mel statistics.
        components: of the mixture.
        rng: of its start.
    """
    from sklearn.covariance import ledoit_wolf

    rows = np.stack([voice_row(voice) for voice in voices])
    offset, scale = rows.mean(0), np.maximum(rows.std(0), 1e-6)
    standard = (rows - offset) / scale
    if components == 1:
        covariance = ledoit_wolf(standard)[0] + 1e-9 * np.eye(standard.shape[1])
        factor = np.linalg.cholesky(covariance)
        mixture = Mixture(np.ones(1), np.zeros((1, standard.shape[1])), factor[None])
    else:
        mixture = fit_mixture(standard, components, rng)
    counts = [voice.mel_statistics.frames for voice in voices if voice.mel_statistics is not None]
    return VoicePosterior(mixture, offset, scale, len(voices[0].embedding), float(np.mean(counts)))


def voice_row(voice: SpeakerProfile) -> Array:
    """Speaker vector, pitch, means and log deviations of a profile that has all of them: -> (S + 1 + 2 M,)."""
    assert voice.pitch_centre is not None and voice.mel_statistics is not None
    logs = np.log(np.maximum(voice.mel_statistics.deviation, 1e-3))
    parts = voice.embedding, [voice.pitch_centre], voice.mel_statistics.mean, logs
    return np.concatenate(parts).astype(np.float64)
