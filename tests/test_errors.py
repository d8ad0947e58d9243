from __future__ import annotations

import pytest

from voiceae.errors import AudioError, VoiceAEError, printable


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a.wav: is damaged", "a.wav: is damaged"),
        ("two  spaces.wav", "two  spaces.wav"),
        ("first\n  second\r\nthird\tfourth", "first second third fourth"),
        ("\x1b[2Jgone.wav", "\\x1b[2Jgone.wav"),
        ("caf\udce9.wav", "caf\\xe9.wav"),
        ("naïve 名.wav", "naïve 名.wav"),
    ],
)
def test_a_message_is_one_printable_line(text: str, line: str) -> None:
    assert str(AudioError(text)) == line
    assert all(map(str.isprintable, str(AudioError(text))))
    assert isinstance(AudioError(text), VoiceAEError)


def test_what_is_printable_stays() -> None:
    assert printable("ä\tb\nc") == "ä\tb\nc"
