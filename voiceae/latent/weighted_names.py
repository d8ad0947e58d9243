"""Voices with weights, as the command line writes them: `alice.wav:0.7`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from voiceae.errors import EmbeddingError
from voiceae.io.filesystem import is_file


@dataclass(frozen=True)
class WeightedName:
    """A voice, or something else that has a name, and how much of it.

    Attributes:
        name: what stands before the last colon.
        amount: the number behind it; None where there is none.
    """

    name: str
    amount: float | None


def parse_weighted_name(text: str) -> WeightedName:
    """Split `NAME:NUMBER`; a text without a number is all name, and `FILE.npz:NAME` needs a second colon for one.

    Raises:
        EmbeddingError: for a number that is not finite, or something behind the colon that is none.
    """
    name, colon, number = text.rpartition(":")
    stored = name.lower().endswith(".npz")  # what follows is the speaker, whatever it looks like
    if not colon or stored or is_file(text):
        return WeightedName(text, None)
    try:
        amount = float(number)
    except ValueError:
        if ".npz:" in text.lower() and not number[:1].isdigit():
            return WeightedName(text, None)
        raise EmbeddingError(
            f"{text}: {number!r} is no number; write a name, a colon and a number, as in bob.wav:0.7"
        ) from None
    if not math.isfinite(amount):
        raise EmbeddingError(f"{text}: {number} is not a finite number; write one, as in bob.wav:0.7")
    return WeightedName(name, amount)


def weights_of(shares: Sequence[WeightedName]) -> list[float]:
    """Weights that sum to one, of voices that have a weight each, or none of them one.

    Raises:
        EmbeddingError: when only some have a weight, or the weights do not sum to more than zero.
    """
    given = [share.amount for share in shares if share.amount is not None]
    if not given:
        return [1 / len(shares)] * len(shares)
    if len(given) < len(shares):
        bare = next(share.name for share in shares if share.amount is None)
        raise EmbeddingError(f"{bare}: has no weight, others have; give every speaker one, or none of them")
    total = sum(given)
    if not total > 1e-6:
        said = " + ".join(f"{weight:g}" for weight in given)
        raise EmbeddingError(f"the weights sum to {total:g} ({said}); they must sum to more than zero")
    return [weight / total for weight in given]
