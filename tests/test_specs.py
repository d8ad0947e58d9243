from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from voiceae.errors import SpecMismatchError
from voiceae.specs import AudioSpec

SPEC = AudioSpec()
OTHER = {
    "sample_rate": 24000,
    "n_fft": 2048,
    "win_length": 800,
    "hop_length": 128,
    "n_mels": 100,
    "f_min": 20.0,
    "f_max": 11025.0,
    "log_floor": 1e-4,
    "magnitude_epsilon": 1e-6,
}


def test_the_default_is_the_published_convention() -> None:
    assert SPEC.to_dict() == {
        "sample_rate": 22050,
        "n_fft": 1024,
        "win_length": 1024,
        "hop_length": 256,
        "n_mels": 80,
        "f_min": 0.0,
        "f_max": 8000.0,
        "log_floor": 1e-5,
        "magnitude_epsilon": 1e-9,
    }
    assert (SPEC.padding, SPEC.n_bins, SPEC.shortest) == (384, 513, 385)
    assert SPEC.frame_rate == pytest.approx(86.1328125)


@pytest.mark.parametrize("n_samples", [1, 255, 385, 511, 512, 513, 22050, 3600 * 22050])
def test_frames_are_those_of_a_sliding_window(n_samples: int) -> None:
    padded = max(n_samples, SPEC.shortest) + 2 * SPEC.padding
    assert SPEC.frames(n_samples) == 1 + (padded - SPEC.n_fft) // SPEC.hop_length


def test_lengths_come_back() -> None:
    assert all(SPEC.frames(SPEC.samples(frames)) == frames for frames in range(2, 500))
    assert SPEC.seconds_to_frames(1.0) == 86 and SPEC.seconds_to_frames(0.0) == 1


@pytest.mark.parametrize("name", OTHER)
def test_every_field_changes_the_fingerprint_and_is_refused_by_name(name: str) -> None:
    other = replace(SPEC, **{name: OTHER[name]})
    assert other.fingerprint != SPEC.fingerprint and len(other.fingerprint) == 12
    with pytest.raises(SpecMismatchError) as caught:
        SPEC.require_same(other, "the model", "the store")
    message = str(caught.value)
    assert f"{name}: the model {getattr(SPEC, name)}, the store {OTHER[name]}" in message
    assert SPEC.fingerprint in message and other.fingerprint in message and "\n" not in message
    assert sum(f"{field}: " in message for field in OTHER) == 1


def test_all_differences_are_printed() -> None:
    with pytest.raises(SpecMismatchError) as caught:
        SPEC.require_same(AudioSpec(**OTHER), "a", "b")  # type: ignore[arg-type]
    assert all(f"{name}: a " in str(caught.value) for name in OTHER)


def test_the_same_passes() -> None:
    SPEC.require_same(AudioSpec(f_min=0), "a", "b")
    assert AudioSpec.from_dict(SPEC.to_dict()) == SPEC


def test_integers_for_floats_are_the_same_spec() -> None:
    loose = AudioSpec.from_dict(SPEC.to_dict() | {"f_min": 0, "f_max": 8000, "hop_length": 256.0})
    assert loose == SPEC and loose.fingerprint == SPEC.fingerprint


@pytest.mark.parametrize("change", [{"hop_size": 256}, {"n_mels": "many"}])
def test_a_dict_that_does_not_fit(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"hop_size|many"):
        AudioSpec.from_dict(SPEC.to_dict() | change)
    with pytest.raises(ValueError, match="n_fft"):
        AudioSpec.from_dict({name: value for name, value in SPEC.to_dict().items() if name != "n_fft"})


@pytest.mark.parametrize(
    "change",
    [
        {"hop_length": 0},
        {"hop_length": 2048},
        {"win_length": 1025},
        {"hop_length": 255},
        {"f_max": 12000.0},
        {"f_min": -1.0},
        {"f_min": 8000.0},
        {"n_mels": 0},
        {"log_floor": 0.0},
        {"magnitude_epsilon": -1e-9},
    ],
)
def test_numbers_that_contradict_each_other(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"need|must be"):
        replace(SPEC, **change)


@pytest.mark.parametrize("spec", [AudioSpec(), AudioSpec(n_fft=512, win_length=400, hop_length=160)])
def test_the_window_is_that_of_torch_in_the_middle_of_a_frame(spec: AudioSpec) -> None:
    margin = (spec.n_fft - spec.win_length) // 2
    wanted = torch.hann_window(spec.win_length, periodic=True, dtype=torch.float64)
    window = spec.window()
    np.testing.assert_allclose(window[margin : margin + spec.win_length], wanted.numpy(), atol=1e-15)
    assert window.sum() == pytest.approx(float(wanted.sum())) and len(window) == spec.n_fft


@pytest.mark.parametrize("n_samples", [0, 1, 255, 256, 257, 22050])
def test_a_wave_is_extended_to_whole_hops(n_samples: int) -> None:
    added = SPEC.pad_to_hop(n_samples)
    assert 0 <= added < SPEC.hop_length and (n_samples + added) % SPEC.hop_length == 0


def test_frames_overlap_in_every_sample() -> None:
    assert SPEC.overlap == 4 and replace(SPEC, n_fft=1026).overlap == 5
