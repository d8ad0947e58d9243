from __future__ import annotations

import numpy as np
import pytest

from tests.conversion.streaming.test_stream import buzz
from tests.tiny import SPEC
from voiceae import Audio
from voiceae.conversion.voice import Voice
from voiceae.errors import ConfigError
from voiceae.evaluation.systems import SHORT_PIECES, WAYS, converter


def test_every_way_is_its_call(tiny_voice: Voice) -> None:
    source, target = (Audio(buzz(1.5, hz), SPEC.sample_rate) for hz in (130.0, 200.0))
    results = {way: converter(tiny_voice, way)(source, (target,)).wav for way in WAYS}  # type: ignore[arg-type]
    np.testing.assert_array_equal(results["whole"], tiny_voice.convert(source, target).wav)
    np.testing.assert_array_equal(
        results["pieces"], tiny_voice.convert(source, target, pieces=SHORT_PIECES).wav
    )
    stream = tiny_voice.stream(target)
    np.testing.assert_array_equal(
        results["stream"], np.concatenate((stream.push(source.wav), stream.flush()))
    )
    assert not np.array_equal(results["settled"], results["stream"])
    with pytest.raises(ConfigError, match="whole, pieces, stream, settled"):
        converter(tiny_voice, "backwards")
