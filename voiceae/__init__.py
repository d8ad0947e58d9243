"""Voice conversion with disentangling autoencoders: train, convert, embed, and measure.

    import voiceae
    voice = voiceae.load("base")                     # a bundled name or a path
    audio = voice.convert("alice.wav", "bob.wav")    # audio.wav (N,), audio.sample_rate

Nothing heavy is imported before one of the names below is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voiceae.conversion.voice import Voice, load
    from voiceae.errors import VoiceAEError
    from voiceae.io.audio import Audio
    from voiceae.specs import AudioSpec

__version__ = "0.1.0"
__all__ = ["Audio", "AudioSpec", "Voice", "VoiceAEError", "__version__", "load"]

_ROOMS = {
    "Audio": "voiceae.io.audio",
    "AudioSpec": "voiceae.specs",
    "Voice": "voiceae.conversion.voice",
    "VoiceAEError": "voiceae.errors",
    "load": "voiceae.conversion.voice",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("voiceae.hardware").wait_passively()
    value = getattr(import_module(_ROOMS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
