from __future__ import annotations

import os

import pytest

from voiceae.io.recording import captured_decoder_messages


def test_only_what_mpg123_says_is_taken(capfd: pytest.CaptureFixture[str]) -> None:
    errors: list[str] = []
    with captured_decoder_messages(errors):
        os.write(2, b"Note: Illegal Audio-MPEG-Header 0x00000000 at offset 36782.\n")
        os.write(2, b"[src/libmpg123/layer3.c:INT123_do_layer3():1774] error: part2_3_length too large\n")
        os.write(2, b"convert: 100%\n")
    os.write(2, b"Note: mine\n")
    assert errors == ["part2_3_length too large"]
    assert capfd.readouterr().err == "convert: 100%\nNote: mine\n"


def test_closed_standard_error() -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        with captured_decoder_messages([]):
            os.write(2, b"Note: of mpg123\n")
        with pytest.raises(OSError):
            os.fstat(2)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
