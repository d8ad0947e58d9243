from __future__ import annotations

import pytest
import torch

from tests.tiny import small_model
from voiceae.nn.norm import (
    FixedStatistics,
    RecordedStatistics,
    recorded_statistics,
    with_norm_statistics,
)
from voiceae.nn.receptive_field import receptive_field


@pytest.mark.parametrize("pitch", [True, False])
def test_nothing_further_away_is_heard_and_all_nearer_is(pitch: bool) -> None:
    """Norms held, one frame of the input is changed: which frames of the output change?"""
    torch.manual_seed(0)
    model = small_model(pitch=pitch).eval()
    mel = torch.randn(1, 80, 160)
    speaker = torch.nn.functional.normalize(torch.ones(1, 16))
    with torch.inference_mode():
        twin = with_norm_statistics(model, lambda _: RecordedStatistics())
        twin.decode(twin.encode(mel), speaker)
        kept = recorded_statistics(twin)
        held = with_norm_statistics(model, lambda index: FixedStatistics(kept[index]))
        other = mel.clone()
        other[..., 80:84] += 1.0
        before, after = (held.decode(held.encode(each), speaker)[0] for each in (mel, other))
    changed = (before - after).abs().amax(0).nonzero()[:, 0]
    assert 83 - receptive_field(model.content, model.decoder) <= int(changed.min()) and int(
        changed.max()
    ) <= 80 + receptive_field(model)
    assert (
        int(changed.min()) <= 83 - receptive_field(model.content, model.decoder) + 12
    )  # and it is no idle bound
