"""An open recording of any container: its format and integrity, and its samples in blocks of one channel."""

from __future__ import annotations

import io
import os
import re
import select
import stat
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiceae.dsp.loudness import frame_samples
from voiceae.errors import AudioError
from voiceae.io.channels import ChannelMeter, Downmix
from voiceae.io.formats import SUPPORTED_HINT, identify
from voiceae.io.integrity.layout import CodedStream, DamageError, Layout, SplicedFile

_STDERR = 2
_MPG123 = re.compile(rb"^(\[.*libmpg123|Note: |Warning: |.*mpg123)", re.IGNORECASE)
_ERROR = re.compile(rb"error: (.*)")
_LOCK = threading.RLock()


@contextmanager
def captured_decoder_messages(errors: list[str]) -> Iterator[None]:
    """Keep libmpg123's lines off standard error; lines of others are passed on.

    It writes to descriptor 2 from C, so `sys.stderr` cannot catch it, and libsndfile has no setting for it.

    Args:
        errors: its error messages are appended.
    """
    with _LOCK, tempfile.TemporaryFile() as lines:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # closed: nothing to keep clean, but the descriptor may be given to a file meanwhile
            kept = -1
        os.dup2(lines.fileno(), _STDERR)
        try:
            yield
        finally:
            if kept >= 0:
                os.dup2(kept, _STDERR)
                os.close(kept)
            else:
                os.close(_STDERR)
            lines.seek(0)
            for line in lines:
                if not _MPG123.match(line):
                    if kept >= 0:
                        os.write(_STDERR, line)
                elif error := _ERROR.search(line):
                    errors.append(error[1].decode(errors="replace"))


# Of a pipe, held in memory since decoders seek: 50 minutes of stereo at 44.1 kHz and 16 bits.
MAX_BYTES = 1 << 29
_WRITER_SECONDS = 10.0  # for a writer to open a named pipe; once it has, there is no limit
_KEPT = 4  # pipes whose content is kept, for a source and some targets as `<(...)` of a shell makes them
_CHUNK = 1 << 16  # bytes a read: the buffer of a pipe on Linux

_spooled: OrderedDict[tuple[int, int], bytes] = OrderedDict()


def read_pipe(path: Path) -> io.BytesIO:
    """Read a named pipe to its end, or return what was read from it before.

    Raises:
        AudioError: for a pipe that nobody writes to, that is empty, or that holds more than 512 MiB; and on Windows.
        OSError: when it cannot be opened.
    """
    if not hasattr(select, "poll"):  # Windows, which has no O_NONBLOCK either
        raise AudioError(
            f"{path}: is a pipe, which cannot be read on this system; write it to a file and give that"
        )
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(handle)
        key = (status.st_dev, status.st_ino)
        try:
            start = os.read(handle, _CHUNK)
            idle = not start
        except BlockingIOError:  # a writer has it open, or waits for us to open it
            start, idle = b"", False
        if not idle or key not in _spooled:
            _spooled[key] = _drained(handle, path, start)
    finally:
        os.close(handle)
    _spooled.move_to_end(key)
    while len(_spooled) > _KEPT:
        _spooled.popitem(last=False)
    return io.BytesIO(_spooled[key])


def _drained(handle: int, path: Path, start: bytes) -> bytes:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    data = bytearray(start)
    while True:
        try:
            part = os.read(handle, _CHUNK)
        except BlockingIOError:  # a writer has it open and is not done
            poll.poll()
            continue
        data += part
        if len(data) > MAX_BYTES:
            raise AudioError(
                f"{path}: is a pipe with more than {MAX_BYTES >> 20} MiB; write it to a file and give that"
            )
        if part:
            continue
        if data:
            return bytes(data)
        events = poll.poll(_WRITER_SECONDS * 1000)
        if not events:
            raise AudioError(
                f"{path}: is a pipe that nobody writes to; start what writes to it, or give a file"
            )
        if events[0][1] & select.POLLHUP and not events[0][1] & select.POLLIN:
            raise AudioError(
                f"{path}: is a pipe that nothing comes out of; it can be read only once, so give a file"
            )


BLOCK = 1 << 20
"""Samples decoded at a time, all channels together."""
RATES = (1000, 768000)
"""Hz, lowest and highest rate that is accepted: below there is no speech, above are no converters."""

# Of all channels, 64 MB, held between the measurement for the downmix and the mixing; longer files are decoded twice.
_KEPT_SAMPLES = 1 << 24
_UNKNOWN = 1 << 40  # samples; for an unknown length libsndfile gives the largest integer (SF_COUNT_MAX)
_MIXES_KEPT = 64  # recordings whose downmix is remembered
_AGAIN = "copy or download it again"

_mixes: OrderedDict[tuple[int, ...], Downmix] = OrderedDict()  # of recordings that are read several times


class RepairWarning(UserWarning):
    """Warns of a fault in a file that did no harm."""


class ChannelWarning(UserWarning):
    """Warns that channels were not simply averaged."""


@dataclass(frozen=True)
class RecordingInfo:
    """Container, codec, rate, channels and duration of a file, by its header.

    Attributes:
        container: "WAV", "FLAC", "Ogg", "MP3" and so on.
        codec: as libsndfile calls it.
        sample_rate: Hz.
        channels: how many.
        seconds: duration by the header; infinite where it does not say.
    """

    container: str
    codec: str
    sample_rate: int
    channels: int
    seconds: float


class Recording:
    """An open audio file.

    Args:
        path: its name, for messages.
        file: its bytes.
        size: how many.
        identity: device, inode, size and time of the file, under which its downmix is remembered; None for pipes.

    Raises:
        AudioError: for a file that is no audio, is damaged, or has a rate outside `RATES`.
    """

    def __init__(
        self, path: Path, file: BinaryIO, size: int, identity: tuple[int, ...] | None = None
    ) -> None:
        self.path, self._file, self._size, self._identity = path, file, size, identity
        self._complaints: list[str] = []
        try:
            form = identify(file, size)
            self.container = form.name
            self._layout = form.examine(file, form.start, form.stop) if form.examine else Layout()
        except DamageError as error:
            remedy = "" if ";" in str(error) else f"; {_AGAIN}"
            raise AudioError(f"{path}: {error}{remedy}") from None
        with self._decoder(self._layout.streams[0]) as decoder:
            self.sample_rate, self.channels = int(decoder.samplerate), int(decoder.channels)
            self.codec, self._promised = str(decoder.subtype), int(decoder.frames)
            self.container = self.container or str(decoder.format)
        if not RATES[0] <= self.sample_rate <= RATES[1]:
            raise AudioError(
                f"{path}: its header says {self.sample_rate} Hz; speech needs {RATES[0]} to {RATES[1]} Hz; "
                "mend the header or record it again"
            )

    @property
    def info(self) -> RecordingInfo:
        """Container, codec, rate, channels and duration by the header."""
        streams = self._layout.streams
        counts = [stream.total if stream.total is not None else self._promised for stream in streams]
        clocks = [stream.clock or self.sample_rate for stream in streams]
        seconds = sum(count / clock for count, clock in zip(counts, clocks, strict=True))
        known = seconds * self.sample_rate < _UNKNOWN
        return RecordingInfo(
            self.container, self.codec, self.sample_rate, self.channels, seconds if known else float("inf")
        )

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The samples, mixed to one channel, at the recording's own rate: -> (n,), ...

        Raises:
            AudioError: for truncated or damaged data; some of it shows only after the last block.
        """
        messages: dict[str, type[UserWarning]] = dict.fromkeys(self._layout.warnings, RepairWarning)
        for place, stream in enumerate(self._layout.streams):
            mix, kept = self._mixed(place, stream)
            for block in self._decoded(stream) if kept is None else kept:
                yield block[:, 0] if block.shape[1] == 1 else block @ mix.weights
            if mix.warning:
                messages[mix.warning] = ChannelWarning
        if self._complaints:
            trouble = f"its decoder stumbled ({self._complaints[0]}); some of it may be noise or missing"
            messages[trouble] = RepairWarning
        for text, category in messages.items():
            warnings.warn(f"{self.path}: {text}", category, stacklevel=2)

    def _mixed(self, place: int, stream: CodedStream) -> tuple[Downmix, list[NDArray[np.float32]] | None]:
        """How the channels are mixed, and the blocks where they were decoded for that and could be kept."""
        channels, rate = self.channels, self.sample_rate
        if place:
            with self._decoder(stream) as decoder:
                channels, rate = int(decoder.channels), int(decoder.samplerate)
        if rate != self.sample_rate:
            raise AudioError(
                f"{self.path}: changes from {self.sample_rate} to {rate} Hz in the middle; split it there"
            )
        if channels == 1:
            return Downmix(np.ones(1, np.float32)), None
        key = None if self._identity is None else (*self._identity, place)
        if key is not None and key in _mixes:
            return _mixes[key], None
        meter, held = ChannelMeter(channels, rate), 0
        kept: list[NDArray[np.float32]] = []
        for block in self._decoded(stream):
            meter.update(block)
            held += block.size
            kept = [*kept, block] if held <= _KEPT_SAMPLES else []
        mix = meter.downmix()
        if key is not None:
            _mixes[key] = mix
            while len(_mixes) > _MIXES_KEPT:
                _mixes.popitem(last=False)
        return mix, kept if held <= _KEPT_SAMPLES else None

    def _decoded(self, stream: CodedStream) -> Iterator[NDArray[np.float32]]:
        """All channels, in blocks of whole frames of 20 ms: -> (n, C), ..."""
        samples = 0
        with self._decoder(stream) as decoder:
            rate, promised = int(decoder.samplerate), int(decoder.frames)
            frame = frame_samples(rate)
            size = min(BLOCK // decoder.channels, promised) // frame * frame + frame
            while True:
                try:
                    with self._quiet():
                        block = decoder.read(size, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError as error:
                    text = error.error_string.rstrip(".") or "a frame is missing, or its checksum is wrong"
                    raise AudioError(f"{self.path}: is truncated or damaged: {text}; {_AGAIN}") from None
                if not len(block):
                    break
                samples += len(block)
                yield block
        if stream.samples is not None:
            expected = stream.samples * rate // (stream.clock or rate)
            self._require(samples, expected - stream.slack, expected, stream.exact)
        if self.container != "MP3" and promised < _UNKNOWN:
            self._require(samples, promised, promised, exact=False)

    def _require(self, samples: int, least: int, expected: int, exact: bool) -> None:
        if samples < least:
            raise AudioError(
                f"{self.path}: is truncated or damaged: {expected} samples promised, {samples} are there; {_AGAIN}"
            )
        if exact and samples > expected:
            raise AudioError(
                f"{self.path}: is damaged: {expected} samples promised, {samples} are there; {_AGAIN}"
            )

    @contextmanager
    def _decoder(self, stream: CodedStream) -> Iterator[soundfile.SoundFile]:
        whole = (range(self._size),)
        pieces = stream.pieces or whole
        source: int | SplicedFile = SplicedFile(self._file, pieces)
        if pieces == whole and not isinstance(self._file, io.BytesIO):
            source = self._file.fileno()
            os.lseek(source, 0, os.SEEK_SET)
        try:
            with self._quiet():
                decoder = _Stream(source, closefd=False)
        except soundfile.LibsndfileError as error:
            text = error.error_string.rstrip(".") or "unknown to libsndfile"
            raise AudioError(f"{self.path}: cannot be read as audio ({text}); {SUPPORTED_HINT}") from None
        try:
            yield decoder
        finally:
            with self._quiet():
                decoder.close()

    def _quiet(self) -> AbstractContextManager[None]:
        """Capture of messages where mpg123 may decode: for MP3, and for formats that only libsndfile can identify."""
        return captured_decoder_messages(self._complaints) if self.container in ("MP3", "") else nullcontext()


class _Stream(soundfile.SoundFile):
    """A file read from front to back: soundfile would seek after every read, which takes 5 % longer for Ogg."""

    def seekable(self) -> bool:
        return False


@contextmanager
def opened(path: Path, what: str) -> Iterator[Recording]:
    """Open a recording; errors of the system are raised as `AudioError` in one line.

    Args:
        path: a file, or a named pipe, which is read whole.
        what: what the audio is for, for the messages.

    Raises:
        AudioError: for no such file, a folder, a device, and what `Recording` refuses.
    """
    try:
        status = os.stat(path)
        if stat.S_ISFIFO(status.st_mode):
            data = read_pipe(path)
            yield Recording(path, data, data.getbuffer().nbytes)
            return
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{path}: is a folder; give one audio file")
        if stat.S_ISSOCK(status.st_mode):
            raise AudioError(f"{path}: is a socket; give an audio file or a pipe")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{path}: is a device or terminal; give an audio file or a pipe")
        if not status.st_size:
            raise AudioError(f"{path}: is empty (0 bytes); {SUPPORTED_HINT}")
        with path.open("rb") as file:
            identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            yield Recording(path, file, status.st_size, identity)
    except (FileNotFoundError, NotADirectoryError):
        raise AudioError(f"{path}: no such file; give the path of {what}") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a name with a null character
        raise AudioError(f"{str(path)!r}: cannot be the name of a file: {error}") from None
