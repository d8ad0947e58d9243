from __future__ import annotations

import numpy as np
import pytest

from tests.conversion.streaming.test_stream import buzz
from tests.tiny import SPEC
from voiceae import Audio
from voiceae.conversion.voice import Voice
from voiceae.errors import ConfigError
from voiceae.evaluation.systems import MODES, SHORT_CHUNKS, converter


def test_every_mode_is_its_call(tiny_voice: Voice) -> None:
    source, target = (Audio(buzz(1.5, hz), SPEC.sample_rate) for hz in (130.0, 200.0))
    results = {mode: converter(tiny_voice, mode)(source, (target,)).wav for mode in MODES}  # type: ignore[arg-type]
    np.testing.assert_array_equal(results["full"], tiny_voice.convert(source, target).wav)
    np.testing.assert_array_equal(
        results["chunked"], tiny_voice.convert(source, target, chunks=SHORT_CHUNKS).wav
    )
    stream = tiny_voice.stream(target)
    np.testing.assert_array_equal(
        results["streaming"], np.concatenate((stream.push(source.wav), stream.flush()))
    )
    assert not np.array_equal(results["streaming-warm"], results["streaming"])
    with pytest.raises(ConfigError, match="full, chunked, streaming, streaming-warm"):
        converter(tiny_voice, "backwards")
