import torch
from torch import nn

from voiceae.nn.layers import Scheduled, scheduled_modules


class Counting(Scheduled):
    def set_step(self, step: int) -> None:
        self.told = step


def test_parts_are_found_at_any_depth() -> None:
    inner = Counting()
    whole = nn.Sequential(nn.Linear(2, 2), nn.ModuleDict({"deep": nn.Sequential(inner)}), Counting())
    assert len(scheduled_modules(whole)) == 2
    for part in scheduled_modules(whole):
        part.set_step(7)
    assert inner.told == 7
    assert scheduled_modules(nn.Linear(1, 1)) == []
    assert "told" not in torch.nn.Module().__dict__
