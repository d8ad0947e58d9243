from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.io.files import RATE, encoded, speech, told
from voiceae.dsp.loudness import active_power, frame_powers
from voiceae.io.channels import ChannelMeter, Downmix

WAV = speech(6.0)
OTHER = speech(6.0, seed=1)
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(len(WAV)).astype(np.float32)
SILENCE = np.zeros_like(WAV)


def level_db(wav: NDArray[np.float32]) -> float:
    return float(10 * np.log10(active_power(frame_powers(wav - wav.mean(), RATE))))


def mixed(*channels: NDArray[np.float32]) -> tuple[NDArray[np.float32], Downmix]:
    meter, block = ChannelMeter(len(channels), RATE), np.stack(channels, axis=1)
    for start in range(0, len(block), 100 * meter.frame):
        meter.update(block[start : start + 100 * meter.frame])
    return block @ meter.downmix().weights, meter.downmix()


@pytest.mark.parametrize(
    ("channels", "weights"),
    [
        ((WAV, SILENCE), (1, 0)),
        ((SILENCE, WAV), (0, 1)),
        ((WAV, 0.003 * NOISE), (1, 0)),
        ((WAV, 0.3 * NOISE), (1, 0)),
        ((0.1 * WAV, 0.3 * NOISE), (1, 0)),
        ((WAV, WAV + 0.3 * NOISE), (1, 0)),
        ((WAV, SILENCE + np.float32(0.5)), (1, 0)),
        ((SILENCE, SILENCE, WAV, SILENCE, SILENCE, SILENCE), (0, 0, 1, 0, 0, 0)),
        ((0.01 * NOISE, -0.01 * NOISE, WAV, SILENCE, 0.003 * WAV, SILENCE), (0, 0, 1, 0, 0, 0)),
        ((WAV, -WAV), (0.5, -0.5)),
        ((WAV, WAV), (0.5, 0.5)),
        ((WAV, 0.8 * WAV), (0.5, 0.5)),
        ((WAV, WAV + np.float32(0.3)), (0.5, 0.5)),
        ((SILENCE, SILENCE), (0.5, 0.5)),
        ((NOISE, NOISE), (0.5, 0.5)),
    ],
)
def test_who_speaks_is_heard(channels: tuple[NDArray[np.float32], ...], weights: tuple[float, ...]) -> None:
    np.testing.assert_allclose(mixed(*channels)[1].weights, weights, atol=0.02)


@pytest.mark.parametrize(
    "channels",
    [
        (WAV, SILENCE),
        (WAV, -WAV),
        (WAV, -0.5 * WAV),
        (0.2 * WAV, WAV),
        (WAV, WAV),
        (WAV, -WAV, WAV, -WAV),
        (WAV, OTHER, 0.1 * NOISE),
    ],
)
def test_as_loud_as_the_channel_that_speaks(channels: tuple[NDArray[np.float32], ...]) -> None:
    assert level_db(mixed(*channels)[0]) == pytest.approx(max(map(level_db, channels)), abs=1.5)


def test_two_who_speak_in_turn_are_both_heard() -> None:
    half = len(WAV) // 2
    first, second = (np.where(np.arange(len(WAV)) // half == place, WAV, SILENCE) for place in (0, 1))
    wav, mix = mixed(first, second)
    np.testing.assert_allclose(mix.weights, 1.0, atol=0.1)
    assert not mix.warning
    np.testing.assert_allclose([level_db(part) for part in np.split(wav, 2)], level_db(WAV), atol=2)


def test_a_click_makes_no_speaker() -> None:
    clicks = SILENCE.copy()
    clicks[[20_000, 50_000]] = 1.0
    np.testing.assert_allclose(mixed(0.1 * WAV, clicks)[1].weights, (1, 0))


def test_what_is_done_is_told() -> None:
    assert "channel 1 and channel 2 cancel each other" in mixed(WAV, -WAV)[1].warning
    assert "speech is in channel 2 of 2" in mixed(SILENCE, WAV)[1].warning
    assert mixed(WAV, WAV)[1].warning == ""


def test_any_number_of_channels_and_samples() -> None:
    for channels, samples in ((1, 1), (2, 5), (32, 400), (7, 0)):
        meter = ChannelMeter(channels, RATE)
        meter.update(RNG.standard_normal((samples, channels)).astype(np.float32))
        assert meter.downmix().weights.shape == (channels,)
        assert np.isfinite(meter.downmix().weights).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_what_is_no_number_stays_for_those_who_judge_it(bad: float) -> None:
    broken = WAV.copy()
    broken[100] = bad
    assert not abs(mixed(WAV, broken)[0][100]) < 1e9


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_files(tmp_path, container: str) -> None:  # type: ignore[no-untyped-def]
    wav, warning = told(tmp_path / "a", encoded(np.stack([WAV, -WAV], axis=1), container))
    assert level_db(wav) == pytest.approx(level_db(WAV), abs=0.1) and "cancel each other" in warning
    six = np.stack([SILENCE, SILENCE, WAV, SILENCE, SILENCE, SILENCE], axis=1)
    wav, warning = told(tmp_path / "a", encoded(six, container))
    assert level_db(wav) == pytest.approx(level_db(WAV), abs=0.1) and "channel 3 of 6" in warning
