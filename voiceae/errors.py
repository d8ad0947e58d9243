"""Exceptions: every error that a user can cause is a `VoiceAEError`, whose message is one readable line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

# C0 and C1 controls but tab and newline, marks of text direction (UAX #9), and lone surrogates.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Text that is safe to print to a terminal: control characters and undecodable bytes are escaped.

    Bytes of file names that are not UTF-8 are lone surrogates in Python; they are shown as bytes, `\xe9`.
    """
    return _UNPRINTABLE.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # PEP 383: an undecodable byte of a file name, plus 0xDC00
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class VoiceAEError(Exception):
    """An error that the user can correct; the command line prints it as one line and exits with 1."""

    def __str__(self) -> str:
        """One printable line, whatever was inserted from a file's name or content."""
        return printable(re.sub(r"\s*[\n\r\t]\s*", " ", super().__str__()))


class AudioError(VoiceAEError):
    """An audio file or wave that cannot be used."""


class SpecMismatchError(VoiceAEError):
    """Two parts disagree on the mel contract."""


class SpecError(VoiceAEError, ValueError):
    """Numbers of a mel contract that make none."""


class CorpusError(VoiceAEError):
    """A corpus folder or table that does not have the layout it should have."""


class StoreError(VoiceAEError):
    """A feature store that is missing, incomplete or damaged."""


class ModelFileError(VoiceAEError):
    """A model file that is damaged, foreign or from a newer format."""


class ExportError(ModelFileError):
    """An export to ONNX that is damaged, or was made of other weights."""


class VocoderError(VoiceAEError):
    """A vocoder that cannot be loaded."""


class ConfigError(VoiceAEError):
    """A configuration value that is unknown or does not make sense."""


class FileAccessError(VoiceAEError):
    """A file or folder that the system refuses to open or to look at."""


class OutputError(VoiceAEError):
    """A result that cannot be written."""


class EmbeddingError(VoiceAEError):
    """A stored speaker embedding that cannot be used."""


class TrainingError(VoiceAEError):
    """A training that cannot go on."""


class ScorerError(VoiceAEError):
    """Audio that gives a scorer of the evaluation nothing to score."""


class WorkerError(VoiceAEError):
    """A process that shared the work and is gone."""


_MOST = 6  # names listed where none is near


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End of a message "no such ...": the nearest known name, or the first known names.

    Args:
        name: that was given.
        known: all that exist.
    """
    names = sorted(known)
    folded = {each.casefold(): each for each in reversed(names)}
    # Half of the letters in order are near enough for a hint; difflib's own 0.6 misses short names with two slips.
    near = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    if near:
        return f"did you mean {folded[near[0]]}?"
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"there are {', '.join(names[:_MOST])}{more}" if names else "there are none yet"


class ClippingWarning(UserWarning):
    """A wave that had to be turned down to fit into a file."""
