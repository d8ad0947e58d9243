"""Schedules at hand-computed steps."""

import pytest

from voiceae.nn.losses import Schedule


def test_constant():
    assert [Schedule(0.3)(step) for step in (0, 5, 10**6)] == [0.3, 0.3, 0.3]


def test_linear_rises_once():
    schedule = Schedule(2.0, "linear", 10)
    assert [schedule(step) for step in (0, 5, 10, 99)] == [0.0, 1.0, 2.0, 2.0]


def test_cyclic_rises_again():
    schedule = Schedule(1.0, "cyclic", 10, rise=0.5)
    assert [schedule(step) for step in (0, 1, 5, 9, 10, 11)] == [0.0, 0.2, 1.0, 1.0, 0.0, 0.2]


@pytest.mark.parametrize("arguments", [("stepwise", 5), ("linear", 0), ("cyclic", 10, 0.0)])
def test_nonsense_is_refused(arguments):
    with pytest.raises(ValueError):
        Schedule(1.0, *arguments)


def test_a_schedule_counts_from_its_start():
    early = Schedule(2.0, kind="cyclic", steps=10, rise=0.5)
    late = Schedule(2.0, kind="cyclic", steps=10, rise=0.5, start=30)
    assert [late(30 + step) for step in range(25)] == [early(step) for step in range(25)]
    assert late(0) == late(29) == 0
