"""The aggregated posterior: densities of a model's content codes and of its speakers, to be drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.embedding_files import require_model
from voiceae.errors import ModelFileError, OutputError
from voiceae.io.filesystem import atomic_path, require_new, user_folder

Array = NDArray[np.float64]

FORMAT = 1
SUFFIX = ".posterior.safetensors"


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians, or of points.

    Attributes:
        weights: (K,), of sum one.
        means: (K, D).
        factors: (K, D, D) lower triangular, `factor @ factor.T` is the covariance; zeros for a point.
    """

    weights: Array
    means: Array
    factors: Array

    @property
    def size(self) -> int:
        """Number of components, K."""
        return len(self.weights)

    @property
    def covariances(self) -> Array:
        """Covariance of every component, (K, D, D)."""
        return np.asarray(self.factors @ self.factors.transpose(0, 2, 1))

    def log_densities(self, vectors: NDArray[np.floating[Any]]) -> Array:
        """Log-density of vectors under each component, with its weight: (n, D) -> (n, K) nats."""
        from scipy.stats import multivariate_normal

        # A weight of zero has a logarithm that is no number; 1e-300 is as good as none.
        parts = zip(np.maximum(self.weights, 1e-300), self.means, self.covariances, strict=True)
        columns = [np.log(w) + np.atleast_1d(multivariate_normal(m, c).logpdf(vectors)) for w, m, c in parts]
        return np.stack(columns, axis=1)

    def log_density(self, vectors: NDArray[np.floating[Any]]) -> Array:
        """Log-density of vectors under the whole mixture: (n, D) -> (n,) nats."""
        from scipy.special import logsumexp

        return np.asarray(logsumexp(self.log_densities(vectors), axis=1))

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draw independent vectors: -> (count, D)."""
        chosen = rng.choice(self.size, count, p=self.weights)
        noise = rng.standard_normal((count, self.means.shape[1]))
        return self.place(chosen, noise)

    def place(self, components: NDArray[np.int64], noise: Array) -> Array:
        """Turn white noise into vectors of components: (n,), (n, D) -> (n, D)."""
        return np.asarray(self.means[components] + np.einsum("nij,nj->ni", self.factors[components], noise))


@dataclass(frozen=True)
class Melody:
    """The fundamental about its centre as a first-order autoregressive process, a step for each mel frame.

    Attributes:
        deviation: octaves.
        steadiness: correlation of neighbouring frames.
    """

    deviation: float
    steadiness: float


@dataclass(frozen=True)
class ContentPosterior:
    """Density of the content codes of all speech, and how one code frame follows another.

    Every single frame is drawn from the mixture, whatever `transitions` and `persistence` are: they only say how
    alike neighbours are.

    Attributes:
        mixture: of code frames, (D,). A discrete model has a component without spread for each code in use.
        transitions: (K, K) probability of the next frame's component.
        persistence: (D,) correlation of neighbours within a component, of the whitened codes.
        clarity: (K,) how much of a frame's pitch distribution is one clear pitch.
        melody: of that pitch.
    """

    mixture: Mixture
    transitions: Array
    persistence: Array
    clarity: Array
    melody: Melody


@dataclass(frozen=True)
class VoicePosterior:
    """Density of all speakers: speaker vector, median pitch and mel statistics, jointly.

    Attributes:
        mixture: of standardised rows.
        offset: (X,) mean of each column.
        scale: (X,) deviation of each column.
        size: numbers in the speaker vector, S.
        frames: active frames behind the mel statistics, on average.
    """

    mixture: Mixture
    offset: Array
    scale: Array
    size: int
    frames: float


@dataclass(frozen=True)
class Posterior:
    """Densities of content and speakers, with the model that they belong to.

    Attributes:
        content: of code frames.
        voices: of speakers.
        model: fingerprint.
        about: what it was fitted on, and figures of the fit.
    """

    content: ContentPosterior
    voices: VoicePosterior
    model: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write as safetensors with a JSON header.

        Raises:
            OutputError: for an existing file without `force`, or when it cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        require_new(Path(path), force)
        header = {
            "format": FORMAT,
            "kind": "posterior",
            "model": self.model,
            "melody": [self.content.melody.deviation, self.content.melody.steadiness],
            "speaker_size": self.voices.size,
            "frames": self.voices.frames,
            "about": dict(self.about),
        }
        content, voices = self.content, self.voices
        tensors = {
            **_mixture_tensors("content", content.mixture),
            "content.transitions": content.transitions,
            "content.persistence": content.persistence,
            "content.clarity": content.clarity,
            **_mixture_tensors("voices", voices.mixture),
            "voices.offset": voices.offset,
            "voices.scale": voices.scale,
        }
        single = {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}
        with atomic_path(path) as temporary:
            try:
                save_file(single, temporary, metadata={"voiceae": json.dumps(header)})
            except SafetensorError as error:
                raise OutputError(f"{path}: cannot be written: {error}") from None

    @classmethod
    def read(cls, path: str | Path, model: str = "") -> Posterior:
        """Read a posterior that `save` wrote.

        Args:
            path: the file.
            model: fingerprint that it must carry.

        Raises:
            ModelFileError: when it is missing, damaged or no posterior.
            EmbeddingError: when it is of another model.
        """
        header, tensors = _read_tensors(path)
        require_model(path, str(header.get("model", "")), model)
        try:
            transitions = tensors["content.transitions"]
            content = ContentPosterior(
                mixture=_mixture("content", tensors),
                # Single precision in the file keeps rows of sum one only nearly, and a draw needs them exactly.
                transitions=np.asarray(transitions / transitions.sum(1, keepdims=True)),
                persistence=tensors["content.persistence"],
                clarity=tensors["content.clarity"],
                melody=Melody(*map(float, header["melody"])),
            )
            voices = VoicePosterior(
                mixture=_mixture("voices", tensors),
                offset=tensors["voices.offset"],
                scale=tensors["voices.scale"],
                size=int(header["speaker_size"]),
                frames=float(header["frames"]),
            )
            return cls(content, voices, str(header["model"]), dict(header["about"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path}: is a damaged posterior: {error}") from None


def _read_tensors(path: str | Path) -> tuple[dict[str, Any], dict[str, Array]]:
    from safetensors import SafetensorError, safe_open

    no_posterior = f"{path}: is no posterior of voiceae posterior fit"
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["voiceae"])
            tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file; make one with voiceae posterior fit") from None
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{no_posterior}, or is damaged ({error})") from None
    if not isinstance(header, dict) or header.get("kind") != "posterior" or header.get("format", 2) > FORMAT:
        raise ModelFileError(f"{no_posterior}, or of a newer format")
    return header, tensors


def _mixture_tensors(name: str, mixture: Mixture) -> dict[str, Array]:
    # A codebook of points would fill the file with K x D x D zeros.
    spread = mixture.factors if mixture.factors.any() else np.zeros((0, 0, 0))
    return {f"{name}.weights": mixture.weights, f"{name}.means": mixture.means, f"{name}.factors": spread}


def _mixture(name: str, tensors: Mapping[str, Array]) -> Mixture:
    weights, means, factors = (tensors[f"{name}.{part}"] for part in ("weights", "means", "factors"))
    if not factors.size:
        factors = np.zeros((*means.shape, means.shape[1]))
    if factors.shape != (*means.shape, means.shape[1]) or len(weights) != len(means):
        raise ValueError(f"the parts of its {name} mixture do not fit each other")
    return Mixture(weights / weights.sum(), means, factors)


def posterior_path(model: Path, fingerprint: str, bundled: Sequence[Path] = ()) -> Path:
    """Path of a model's posterior: beside the model, or among the user's data for a model inside the package.

    Args:
        model: the model's file.
        fingerprint: of its weights.
        bundled: files of the package, beside which nothing is written.
    """
    if model not in bundled:
        return model.with_name(model.stem + SUFFIX)
    data = user_folder("XDG_DATA_HOME", ".local", "share")
    return data / "voiceae" / "posteriors" / f"{fingerprint}{SUFFIX}"
