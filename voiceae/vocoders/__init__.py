"""Log-mel to wave, behind one interface."""

from voiceae.vocoders.base import Vocoder, load_vocoder

__all__ = ["Vocoder", "load_vocoder"]
