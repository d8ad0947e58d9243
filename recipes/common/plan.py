"""An experiment drawn together to so many steps: its stages, schedules and reports, as Hydra overrides.

    python plan.py NAME STEPS data.store=STORE [key=value ...]

Prints one override a line. Every length that the experiment counts in steps is scaled by STEPS / trainer.max_steps, but
not below a twentieth of the whole, for a warm-up that lasts three steps is none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

REPORTS, VALIDATIONS = 100, 8  # over a run
SHORTEST_SHARE = 0.05
AVERAGED_SHARE = 0.1  # of a run, about as much as the averaged weights remember


def overrides(config: Mapping[str, Any], steps: int) -> Iterator[str]:
    """What turns a composed config into one of `steps` steps."""
    trainer, warmup = config["trainer"], config["optim"]["warmup_steps"]
    whole = trainer["max_steps"]
    yield f"trainer.max_steps={steps}"
    yield f"trainer.log_every={max(1, steps // REPORTS)}"
    yield f"trainer.validate_every={max(1, steps // VALIDATIONS)}"
    yield f"trainer.ema_decay={min(trainer['ema_decay'], max(0.5, 1 - 1 / (AVERAGED_SHARE * steps + 1))):.4f}"
    yield "trainer.picture_every=0"
    yield f"optim.warmup_steps={scaled(warmup, whole, steps)}"
    for node in ("loss", "model"):
        for key, length in lengths(config[node], node):
            yield f"{key}={scaled(length, whole, steps)}"
    if trainer["stages"]:
        yield f"trainer.stages={hydra_value(stages(trainer['stages'], whole, steps))}"


def scaled(length: int, whole: int, steps: int) -> int:
    """A length of a run of `whole` steps, in one of `steps`; never longer than it was."""
    return min(length, max(round(length * steps / whole), int(SHORTEST_SHARE * steps), 1))


def lengths(node: Any, where: str) -> Iterator[tuple[str, int]]:
    """Every key called `steps` or `..._steps` below a node, with its value."""
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        if isinstance(value, int) and (name == "steps" or str(name).endswith("_steps")):
            yield f"{where}.{name}", value
        else:
            yield from lengths(value, f"{where}.{name}")


def stages(given: list[Mapping[str, Any]], whole: int, steps: int) -> list[dict[str, Any]]:
    """Stages that together last `steps`, each at least one, with the schedules inside them."""
    ends = [round(steps * sum(each["steps"] for each in given[: n + 1]) / whole) for n in range(len(given))]
    ends = [max(end, number + 1) for number, end in enumerate(ends)]
    ends[-1] = max(steps, ends[-1])
    lasting = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [
        {**_within(each, whole, steps), "steps": max(1, length)}
        for each, length in zip(given, lasting, strict=True)
    ]


def _within(node: Any, whole: int, steps: int) -> Any:
    if not isinstance(node, Mapping):
        return node
    return {
        name: scaled(value, whole, steps) if name == "steps" else _within(value, whole, steps)
        for name, value in node.items()
    }


def hydra_value(value: Any) -> str:
    """A plain value as Hydra's overrides write it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{hydra_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(hydra_value, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"'{value}'" if isinstance(value, str) else str(value)


def main() -> None:
    """Print the overrides; a bad input is one line and exit code 1."""
    from voiceae import VoiceAEError
    from voiceae.training.settings import compose

    name, steps, *more = sys.argv[1:]
    try:
        print("\n".join(overrides(compose([f"experiment={name}", *more]), int(steps))))
    except VoiceAEError as error:
        sys.exit(f"zoo: error: {error}")


if __name__ == "__main__":
    main()
