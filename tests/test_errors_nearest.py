from __future__ import annotations

from voiceae.errors import did_you_mean


def test_the_nearest_name_is_meant() -> None:
    assert did_you_mean("gendr", ["age", "gender"]) == "did you mean gender?"
    assert did_you_mean("BOB", ["bob", "carol"]) == "did you mean bob?"


def test_without_a_near_one_they_are_listed() -> None:
    assert did_you_mean("zzz", ["b", "a"]) == "there are a, b"
    assert did_you_mean("zzz", map(str, range(9))) == "there are 0, 1, 2, 3, 4, 5 and 3 more"
    assert did_you_mean("x", []) == "there are none yet"
