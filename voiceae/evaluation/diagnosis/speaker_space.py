"""The speaker embedding: whether it separates unseen speakers, and whether it carries content."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional

from voiceae.evaluation.diagnosis import Finding, Verdict, grade
from voiceae.evaluation.diagnosis.collapse import OWN_SPEAKER
from voiceae.evaluation.diagnosis.encoded_clips import Clips, EncodedClips, pooled_statistics
from voiceae.evaluation.scores import equal_error

EER_WARNING, EER_FAILED = 0.15, 0.35  # 0.5 is chance
MIN_PAIRS = 10  # of one speaker; fewer make an equal error rate in steps of more than 10 %


def find_speaker_space(vectors: Tensor, speaker: Tensor, *, held_out: bool) -> Finding:
    """Measure how the speaker vectors separate speakers: equal error rate, and accuracy of the nearest other clip.

    Args:
        vectors: (U, S).
        speaker: (U,).
        held_out: whether training never heard these speakers.
    """
    unit = functional.normalize(vectors.double(), dim=-1)
    cosine = unit @ unit.T
    same = speaker[:, None] == speaker
    pairs = torch.ones_like(same).triu(1)
    right, wrong = cosine[pairs & same].numpy(), cosine[pairs & ~same].numpy()
    error = equal_error(right, wrong)
    nearest = cosine.fill_diagonal_(-2).argmax(-1)
    accuracy = float((speaker[nearest] == speaker).double().mean())
    verdict = grade(error.rate, EER_WARNING, EER_FAILED)
    where = "held-out" if held_out else "training"
    if not held_out or len(right) < MIN_PAIRS:
        verdict = max(verdict, Verdict.WARNING)
    says = {
        Verdict.OK: "the speaker space tells voices apart",
        Verdict.WARNING: "the speaker space tells voices apart only roughly",
        Verdict.FAILED: "the speaker space does not tell voices apart",
    }[grade(error.rate, EER_WARNING, EER_FAILED)]
    count = len(speaker.unique())
    note = "" if held_out else "; the store holds out no two speakers, so nothing is known of new voices"
    return Finding(
        area="speakers",
        verdict=verdict,
        reason=(
            f"{says}; equal error rate {error.rate:.1%} over {len(speaker)} clips of {count} {where} speakers, "
            f"the nearest other clip is of the same speaker for {accuracy:.0%}{note}"
        ),
        figures={
            "split": where,
            "speakers": count,
            "clips": len(speaker),
            "equal_error_rate": error.rate,
            "threshold": error.threshold,
            "nearest_neighbour_accuracy": accuracy,
            "cosine_same": float(right.mean()),
            "cosine_different": float(wrong.mean()),
        },
        series={
            "same": np.histogram(right, np.linspace(-1, 1, 41), density=True)[0],
            "different": np.histogram(wrong, np.linspace(-1, 1, 41), density=True)[0],
        },
    )


# Somewhat more clusters than phones (40), on cepstra that keep formants and drop harmonics; the sample has 300 frames
# for each cluster.
CLUSTERS, CEPSTRA, SAMPLE = 64, 16, 20_000
# Of the ridge regression, per clip to fit; the best is chosen on the `check` clips.
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
MIN_TRACE = 0.35  # of the way from chance to certainty: below it the vector says too little to matter
WARNING, FAILED = 0.05, 0.2  # share of the reconstruction error that the clip's own vector takes away

Array = NDArray[np.float64]


def find_spoken_content(
    encoded: EncodedClips, clips: Clips, errors: Mapping[str, float], rng: np.random.Generator
) -> Finding:
    """Test whether a speaker vector identifies its own utterance, among others of the speaker, by its content.

    What is said is the share of phone-like clusters in a clip: 64 means of cepstra without level and long-term
    spectrum, found without the model. A ridge regression learns to predict how these shares depart from the speaker's
    own mean from how the vector departs from the speaker's mean vector; on held-out clips it must pick the right one
    among those of one speaker. Who speaks cannot help, as all choices are the same speaker's, so chance is one in their
    number. Beside it the same from statistics of the mel, and from vectors shuffled among the clips of each speaker.

    Anything pooled over a clip keeps a trace of what is said, however faint. What decides is whether the decoder makes
    use of it: how much better it reconstructs with the clip's own vector than with one of another clip. That is an
    upper bound, since the level and the room of a clip help as well.

    Args:
        encoded: of all clips.
        clips: which to fit, to stop by and to score.
        errors: what `reconstruction_errors` gave.
        rng: of the clusters and the shuffling.
    """
    shares = cluster_shares(encoded, rng)
    shuffled = np.concatenate(
        [row + rng.permutation(clips.per_speaker) for row in range(0, len(shares), clips.per_speaker)]
    )
    vectors = encoded.speaker.double().numpy()
    evidence = {
        "speaker vector": vectors,
        "mel": pooled_statistics(encoded.mel, encoded.mask).double().numpy(),
        "shuffled": vectors[shuffled],
    }
    accuracy = {name: retrieval_accuracy(values, shares, clips) for name, values in evidence.items()}
    choices = clips.held
    if choices < 2:
        return Finding(
            area="spoken",
            verdict=Verdict.WARNING,
            reason="speakers have too few clips to tell whether the speaker vector knows what is said",
            figures={"choices": choices, "accuracy": accuracy},
        )
    trace = (accuracy["speaker vector"] - 1 / choices) / (1 - 1 / choices)
    gain = 1 - errors[OWN_SPEAKER] / max(errors["as it is"], 1e-9)
    verdict = grade(gain, WARNING, FAILED) if trace >= MIN_TRACE else Verdict.OK
    says = {
        Verdict.OK: "next to nothing of what is said passes through the speaker vector",
        Verdict.WARNING: "something of what is said passes through the speaker vector",
        Verdict.FAILED: "what is said passes through the speaker vector: take it from other speech in training",
    }[verdict]
    return Finding(
        area="spoken",
        verdict=verdict,
        reason=(
            f"{says}; a clip's own vector makes its reconstruction {gain:+.0%} better than another clip's, and finds "
            f"the clip among {choices} of the speaker for {accuracy['speaker vector']:.0%} (chance {1 / choices:.0%}, "
            f"statistics of the mel {accuracy['mel']:.0%}, shuffled {accuracy['shuffled']:.0%})"
        ),
        figures={
            "choices": choices,
            "own_vector_gain": gain,
            "accuracy": accuracy,
            "times_chance": {name: value * choices for name, value in accuracy.items()},
        },
        series={"accuracy": np.array(list(accuracy.values()))},
    )


def cluster_shares(encoded: EncodedClips, rng: np.random.Generator) -> Array:
    """Square root of the share of every phone-like cluster in every clip: -> (U, 64)."""
    from sklearn.cluster import KMeans

    weight = encoded.mask[..., None].float()
    mean = (encoded.mel * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    variance = ((encoded.mel - mean).square() * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    # Without mean and deviation of each bin no level and no long-term spectrum is left, only what changes.
    plain = (encoded.mel - mean) / (variance + 1e-3).sqrt()
    cepstra = dct(plain.numpy(), norm="ortho", axis=-1)[..., :CEPSTRA].astype(np.float32)
    mask = encoded.mask.numpy()
    speech = cepstra[mask]
    sample = speech[rng.permutation(len(speech))[:SAMPLE]]
    seed = int(rng.integers(2**31))
    clusters = KMeans(min(CLUSTERS, len(sample)), n_init=1, random_state=seed).fit(sample).predict(speech)
    counts = np.zeros((len(mask), CLUSTERS))
    np.add.at(counts, (np.nonzero(mask)[0], clusters), 1)
    return np.sqrt(counts / counts.sum(1, keepdims=True))  # a square root evens out the variance of counts


def retrieval_accuracy(evidence: Array, shares: Array, clips: Clips) -> float:
    """How often held-out evidence predicts its own clip best, by ridge regression: (U, F), (U, 64) -> share."""
    from sklearn.linear_model import Ridge

    def centred(values: Array, part: str) -> Array:
        """Rows of a part less their speaker's mean: (U, F) -> (speakers, clips, F)."""
        grouped = values[clips.rows(part).numpy()].reshape(len(clips.speakers), -1, values.shape[-1])
        return grouped - grouped.mean(1, keepdims=True)

    x, y = ({part: centred(v, part) for part in ("fit", "check", "held")} for v in (evidence, shares))
    scale = np.concatenate(list(x["fit"])).std(0) + 1e-9
    x = {part: values / scale for part, values in x.items()}
    flat, shares_fit = (np.concatenate(list(v["fit"])) for v in (x, y))
    ridges = [Ridge(penalty * len(flat), fit_intercept=False) for penalty in PENALTIES]
    fits = [ridge.fit(flat, shares_fit).coef_.T for ridge in ridges]
    best = min(fits, key=lambda fit: float(np.square(x["check"] @ fit - y["check"]).sum()))
    # A prediction finds its clip when it is nearer to that one's shares, by cosine, than to the others of the speaker.
    unit = [v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-12) for v in (x["held"] @ best, y["held"])]
    nearest = (unit[0] @ unit[1].transpose(0, 2, 1)).argmax(-1)
    return float((nearest == np.arange(nearest.shape[1])).mean())
