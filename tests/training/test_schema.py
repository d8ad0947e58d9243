from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from voiceae.errors import ConfigError
from voiceae.training import schema
from voiceae.training.schema import STRICT, Float


@dataclass(frozen=True, kw_only=True)
class Inner:
    __pydantic_config__ = STRICT
    name: str
    share: Float = 0.5
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outer:
    __pydantic_config__ = STRICT
    inner: tuple[Inner, ...]
    names: tuple[str, ...] | None
    pair: tuple[Float, Float]


def read(**changes: Any) -> Outer:
    return schema.read(Outer, {"inner": [{"name": "a"}], "names": None, "pair": [1, 2], **changes}, "node")


def test_lists_of_nodes_have_defaults_and_types() -> None:
    node = read(inner=[{"name": 7, "share": 1, "more": {"x": [1]}}, {"name": "b"}], names=["p"])
    assert node.inner == (Inner(name="7", share=1.0, more={"x": [1]}), Inner(name="b"))
    assert isinstance(node.inner[0].share, float)
    assert node.names == ("p",)
    assert (read().names, read(inner=[]).inner, read().pair) == (None, (), (1.0, 2.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"inner": [{"name": "a"}, {"nmae": "a"}]},
            r"node\.inner\.1: unknown key 'nmae'; did you mean name\?",
        ),
        ({"inner": [{}]}, r"missing value: node\.inner\.0\.name$"),
        ({"inner": {"name": "a"}}, r"node\.inner=.*: expected a list"),
        ({"inner": ["a"]}, r"node\.inner\.0='a': expected keys and values"),
        ({"inner": [{"name": "a", "more": 3}]}, r"node\.inner\.0\.more=3: expected keys and values"),
        ({"names": [[1]]}, r"node\.names\.0=\[1\]: expected str"),
        ({"names": "p"}, r"node\.names='p': expected a list"),
        ({"pair": [1, 2, 3]}, r"node\.pair=.*: expected a list of 2 numbers"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(**changes)
