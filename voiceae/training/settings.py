"""The config of a training as checked dataclasses: no defaults here, they live in `configs/`."""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from voiceae.errors import ConfigError, OutputError, StoreError
from voiceae.specs import AudioSpec

LAST = "last.ckpt"
BEST = "best.ckpt"


class Node:
    """A dataclass read from one node of the config."""

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str) -> Self:
        """Instance from a node of the config.

        Args:
            values: keys and plain values.
            where: the node's name, for messages.

        Raises:
            ConfigError: for a key that is unknown or missing, or a value of the wrong type or range.
        """
        hints = get_type_hints(cls)
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        for name in values:
            require_known(str(name), names, where)
        missing = [f"{where}.{name}" for name in names if name not in values]
        if missing:
            raise ConfigError(f"missing value: {', '.join(missing)}")
        node = cls(**{name: _cast(values[name], hints[name], f"{where}.{name}") for name in names})
        node.check(where)
        return node

    def check(self, where: str) -> None:
        """Refuse values that do not make sense."""


@dataclass(frozen=True, kw_only=True)
class DataSettings(Node):
    """`data`: the store and the shape of a batch; see `configs/data`."""

    store: str
    batch_size: int
    crop_frames: int
    reference_frames: int

    def check(self, where: str) -> None:
        """All counts are positive."""
        _require_positive(self, where, "batch_size", "crop_frames", "reference_frames")


@dataclass(frozen=True, kw_only=True)
class OptimSettings(Node):
    """`optim`: optimisers and the schedule of their learning rate; see `configs/optim`."""

    kind: str
    learning_rate: float
    adversary_learning_rate: float
    betas: tuple[float, float]
    epsilon: float
    weight_decay: float
    momentum: float
    warmup_steps: int
    schedule: str
    final_fraction: float
    clip_norm: float | None

    def check(self, where: str) -> None:
        """Known names and sensible ranges."""
        _require_choice(self, where, kind=("adamw", "muon"), schedule=("cosine", "linear", "constant"))
        _require_positive(self, where, "learning_rate", "adversary_learning_rate", "epsilon", "clip_norm")
        _require_range(self, where, 0, 1, "momentum", "final_fraction")
        _require_range(self, where, 0, None, "weight_decay", "warmup_steps")


@dataclass(frozen=True, kw_only=True)
class TrainerSettings(Node):
    """`trainer`: device, duration, resuming and reporting; see `configs/trainer/base.yaml`."""

    accelerator: str
    devices: int | str
    num_nodes: int
    strategy: str
    process_group_backend: str | None
    precision: str
    threads: int | None
    max_steps: int
    max_minutes: float | None
    resume: str | None
    init_from: str | None
    ema_decay: float
    log_every: int
    validate_every: int
    validate_batches: int
    picture_every: int
    checkpoint_minutes: float | None
    checkpoint_steps: int | None
    early_stopping_patience: int | None
    progress: bool

    def check(self, where: str) -> None:
        """Known names and sensible ranges."""
        _require_choice(
            self,
            where,
            accelerator=("auto", "cpu", "gpu", "cuda", "mps"),
            strategy=("auto", "ddp", "ddp_spawn", "ddp_fork"),
            precision=("fp32", "bf16"),
        )
        _require_positive(
            self, where, "num_nodes", "threads", "max_steps", "max_minutes", "log_every", "validate_every"
        )
        _require_positive(self, where, "checkpoint_minutes", "checkpoint_steps", "early_stopping_patience")
        _require_range(self, where, 0, None, "validate_batches", "picture_every")
        _require_range(self, where, 0, 1, "ema_decay")
        if self.resume and self.init_from:
            raise ConfigError(f"{where}: resume goes on with a run, init_from starts one; give one of them")


@dataclass(frozen=True, kw_only=True)
class VocoderSettings(Node):
    """`vocoder`: what TensorBoard's audio is made with."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole training.

    Attributes:
        name: of the experiment.
        out: folder of the run.
        seed: of weights, crops and noise.
        audio: the mel contract that the store must have.
        model: description that `voiceae.modelfile.build` turns into the model.
        loss: arguments of the objective.
        config: the resolved config all of this was read from.
    """

    name: str
    out: Path
    seed: int
    audio: AudioSpec
    data: DataSettings
    model: dict[str, Any]
    loss: dict[str, Any]
    optim: OptimSettings
    trainer: TrainerSettings
    vocoder: VocoderSettings
    config: dict[str, Any]

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Settings:
        """Settings from a resolved config.

        Raises:
            ConfigError: for a key that is unknown or missing, or a value of the wrong type or range.
        """
        names = [field.name for field in fields(cls) if field.name != "config"]
        for name in config:
            require_known(name, names, "")
        missing = [name for name in names if name not in config]
        if missing:
            raise ConfigError(f"missing value: {', '.join(missing)}")
        try:
            audio = AudioSpec.from_dict(config["audio"])
        except (TypeError, ValueError) as error:
            raise ConfigError(str(error)) from None
        return cls(
            name=_cast(config["name"], str, "name"),
            out=Path(_cast(config["out"], str, "out")),
            seed=_cast(config["seed"], int, "seed"),
            audio=audio,
            data=DataSettings.read(config["data"], "data"),
            model=dict(config["model"]),
            loss=dict(config["loss"]),
            optim=OptimSettings.read(config["optim"], "optim"),
            trainer=TrainerSettings.read(config["trainer"], "trainer"),
            vocoder=VocoderSettings.read(config["vocoder"], "vocoder"),
            config=dict(config),
        )

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.out / "checkpoints"

    @property
    def resume_from(self) -> Path | None:
        """The checkpoint to go on from, if any."""
        if self.trainer.resume is None:
            return None
        if self.trainer.resume == "auto":
            last = self.checkpoints / LAST
            return last if last.is_file() else None
        return Path(self.trainer.resume)

    def check_files(self) -> None:
        """Refuse what would only fail minutes later.

        Raises:
            StoreError: when there is no feature store.
            ConfigError: when the checkpoint or model to start from is missing.
            OutputError: when the run folder holds another run.
        """
        if not (Path(self.data.store) / "store.json").is_file():
            raise StoreError(f"{self.data.store}: is no feature store; make one with voiceae prepare")
        for name, path in (("resume", self.resume_from), ("init_from", self.trainer.init_from)):
            if path is not None and not Path(path).is_file():
                raise ConfigError(f"trainer.{name}={path}: no such file")
        if is_first_process() and self.trainer.resume is None and (self.out / "config.yaml").exists():
            raise OutputError(
                f"{self.out}: holds a run; go on with it by trainer.resume=auto, or choose another out"
            )


def known_keys(where: str) -> list[str]:
    """Keys of a node of the config, or of the whole one for ""; none for a node without fixed keys."""
    hints = get_type_hints(Settings)
    node = hints.get(where) if where else Settings
    return [field.name for field in fields(node)] if is_dataclass(node) else []


def is_first_process() -> bool:
    """Whether this is the process that writes, among those a launcher may have started."""
    return all(
        os.environ.get(name, "0") == "0" for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
    )


def require_known(name: str, known: list[str], where: str) -> None:
    """Refuse an unknown key, with the nearest known one.

    Raises:
        ConfigError: when `name` is not among `known`.
    """
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
        raise ConfigError(f"{where or 'config'}: unknown key {name!r}; {hint}")


def _cast(value: Any, hint: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        if value is None and len(kinds) < len(get_args(hint)):
            return None
        return value if isinstance(value, tuple(kinds)) else _cast(value, kinds[0], where)
    if get_origin(hint) is tuple:
        kinds = list(get_args(hint))
        if not isinstance(value, list | tuple) or len(value) != len(kinds):
            raise ConfigError(f"{where}={value!r}: expected a list of {len(kinds)} numbers")
        return tuple(_cast(item, kind, where) for item, kind in zip(value, kinds, strict=True))
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int | float):  # `name=1` is a name
        return str(value)
    raise ConfigError(f"{where}={value!r}: expected {hint.__name__}")


def _require_positive(node: Any, where: str, *names: str) -> None:
    for name in names:
        value = getattr(node, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{where}.{name}={value}: must be above 0")


def _require_range(node: Any, where: str, low: float, high: float | None, *names: str) -> None:
    for name in names:
        value = getattr(node, name)
        if not low <= value or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"from {low} to {high}"
            raise ConfigError(f"{where}.{name}={value}: must be {limits}")


def _require_choice(node: Any, where: str, **choices: tuple[str, ...]) -> None:
    for name, legal in choices.items():
        if getattr(node, name) not in legal:
            raise ConfigError(f"{where}.{name}={getattr(node, name)}: is not one of {', '.join(legal)}")
