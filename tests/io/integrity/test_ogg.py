from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.io.files import RATE, crc, encoded, pages, refused, speech, told

WAV = speech(6.0)
KINDS = ["VORBIS", "OPUS"]


@cache
def ogg(subtype: str, seconds: float = 6.0) -> bytes:
    return encoded(WAV[: round(seconds * RATE)], "OGG", subtype)


def changed(page: bytes, **fields: int) -> bytes:
    """A page with other flags, position, serial or number, and the checksum that goes with them."""
    names = ("flags", "position", "serial", "number")
    values = dict(zip(names, struct.unpack_from("<BqII", page, 5), strict=True)) | fields
    return crc(page[:5] + struct.pack("<BqII", *(values[name] for name in names)) + page[22:])


@pytest.mark.parametrize("subtype", KINDS)
def test_the_test_knows_the_checksum(subtype: str) -> None:
    assert all(changed(page) == page for page in pages(ogg(subtype))[:3])


@pytest.mark.parametrize("subtype", KINDS)
def test_a_chain_is_heard_to_its_end(tmp_path: Path, subtype: str) -> None:
    links = [ogg(subtype), ogg(subtype, 2.0), ogg(subtype, 1.0)]
    alone = [told(tmp_path / "a.ogg", link)[0] for link in links]
    wav, warning = told(tmp_path / "a.ogg", b"".join(links))
    np.testing.assert_array_equal(wav, np.concatenate(alone))
    assert len(wav) == pytest.approx(9 * RATE, abs=3 * 700) and not warning


def test_links_of_two_channels_and_of_another_rate(tmp_path: Path) -> None:
    two = encoded(np.stack([WAV, WAV], axis=1), "OGG", "VORBIS")
    assert len(told(tmp_path / "a.ogg", ogg("VORBIS") + two)[0]) == 2 * len(WAV)
    other = encoded(WAV, "OGG", "VORBIS", 8000)
    assert "changes from 16000 to 8000 Hz" in refused(tmp_path / "a.ogg", ogg("VORBIS") + other)


@pytest.mark.parametrize("subtype", KINDS)
@pytest.mark.parametrize("place", [1, 3, 4, -2])
def test_a_page_that_is_missing_is_named(tmp_path: Path, subtype: str, place: int) -> None:
    kept = pages(ogg(subtype))
    number = len(kept) + place if place < 0 else place
    content = b"".join(kept[:number] + kept[number + 1 :])
    assert refused(tmp_path / "a.ogg", content).startswith(f"is damaged: page {number} is missing")
    chained = content + ogg(subtype, 1.0)
    assert f"page {number} is missing" in refused(tmp_path / "a.ogg", chained)


@pytest.mark.parametrize("subtype", KINDS)
def test_bytes_that_are_missing_or_changed(tmp_path: Path, subtype: str) -> None:
    content = ogg(subtype)
    middle = len(b"".join(pages(content)[:3])) + 500
    for broken in (
        content[:middle] + content[middle + 5000 :],
        content[:middle] + bytes(2000) + content[middle + 2000 :],
        content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
    ):
        assert "is damaged: page 3 is missing" in refused(tmp_path / "a.ogg", broken)


@pytest.mark.parametrize("subtype", KINDS)
def test_the_beginning_is_missing(tmp_path: Path, subtype: str) -> None:
    assert "its first page is missing" in refused(tmp_path / "a.ogg", b"".join(pages(ogg(subtype))[1:]))


@pytest.mark.parametrize("subtype", KINDS)
def test_numbers_that_hide_the_missing_page(tmp_path: Path, subtype: str) -> None:
    kept = pages(ogg(subtype))
    del kept[4:6]
    content = b"".join(changed(page, number=number) for number, page in enumerate(kept))
    assert "samples promised" in refused(tmp_path / "a.ogg", content)


@pytest.mark.parametrize("subtype", KINDS)
def test_no_end_mark_is_told_and_no_more(tmp_path: Path, subtype: str) -> None:
    *before, last = pages(ogg(subtype))
    whole = told(tmp_path / "a.ogg", ogg(subtype))[0]
    wav, warning = told(tmp_path / "a.ogg", b"".join((*before, changed(last, flags=0))))
    assert len(wav) >= len(whole) and "does not say where it ends" in warning
    wav, warning = told(tmp_path / "a.ogg", b"".join(before))
    assert 0.5 * len(whole) < len(wav) < len(whole) and "does not say where it ends" in warning


@pytest.mark.parametrize("subtype", KINDS)
def test_a_last_page_that_is_cut(tmp_path: Path, subtype: str) -> None:
    content = ogg(subtype)
    last = content.rindex(b"OggS")
    for size in (last + 3, last + 20, last + 30, len(content) - 1):
        assert "is truncated: its last page is cut" in refused(tmp_path / "a.ogg", content[:size])


def test_other_bytes_around_whole_pages_do_no_harm(tmp_path: Path) -> None:
    tag = b"TAG" + bytes(125)
    wav, _ = told(tmp_path / "a.ogg", ogg("VORBIS") + tag)
    assert len(wav) == len(WAV)
    wav, _ = told(tmp_path / "a.ogg", ogg("VORBIS") + tag + ogg("VORBIS"))
    assert len(wav) == 2 * len(WAV)


def test_a_stream_beside_the_sound_is_passed_over(tmp_path: Path) -> None:
    first, *rest = pages(ogg("VORBIS"))
    other = crc(b"OggS\0" + struct.pack("<BqII", 2, 0, 77, 0) + bytes(4) + b"\1\x08" + b"fishead\0")
    end = crc(b"OggS\0" + struct.pack("<BqII", 4, 0, 77, 1) + bytes(4) + b"\1\x01\0")
    wav, warning = told(tmp_path / "a.ogg", b"".join((other, first, rest[0], end, *rest[1:])))
    assert len(wav) == len(WAV) and not warning


@pytest.mark.parametrize(
    ("packet", "name"),
    [(b"Speex   1.2", "Speex"), (b"\x80theora", "Theora video"), (b"what", "an unknown codec")],
)
def test_what_cannot_be_decoded_is_named(tmp_path: Path, packet: bytes, name: str) -> None:
    page = crc(b"OggS\0" + struct.pack("<BqII", 2, 0, 77, 0) + bytes(4) + bytes([1, len(packet)]) + packet)
    assert refused(tmp_path / "a.ogg", page).startswith(f"is Ogg that holds {name}")


def test_a_stream_that_was_joined_late(tmp_path: Path) -> None:
    """Positions of a running radio stream start anywhere."""
    late = [
        changed(
            page, position=position + 1_000_000 if (position := struct.unpack_from("<q", page, 6)[0]) else 0
        )
        for page in pages(ogg("VORBIS"))
    ]
    wav, _ = told(tmp_path / "a.ogg", b"".join(late))
    assert len(wav) == pytest.approx(len(WAV), abs=2048)
