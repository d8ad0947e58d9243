"""The config of a training as checked dataclasses: no defaults here, they live in `configs/`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from voiceae.errors import ConfigError, OutputError, StoreError
from voiceae.specs import AudioSpec
from voiceae.training.schema import (
    MOST,
    Node,
    cast,
    require_below_one,
    require_choice,
    require_count,
    require_known,
    require_positive,
    require_range,
)
from voiceae.training.stages import Plan, StageSettings

PRECISIONS = ("fp32", "bf16")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
LAST = "last.ckpt"
BEST = "best.ckpt"
MOST_THREADS = 1024  # OpenMP ends the process where it cannot start as many as it is asked for
MOST_SEED = 2**32 - 1  # that numpy's global generator takes, which the seed is given to as well


@dataclass(frozen=True, kw_only=True)
class DataSettings(Node):
    """`data`: the store and the shape of a batch; see `configs/data`."""

    store: str
    batch_size: int
    crop_frames: int
    reference_frames: int
    resident: bool

    def check(self, where: str) -> None:
        """All counts are positive."""
        require_count(self, where, "batch_size", "crop_frames", "reference_frames")


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
        require_choice(self, where, kind=("adamw", "muon"), schedule=("cosine", "linear", "constant"))
        require_positive(self, where, "learning_rate", "adversary_learning_rate", "epsilon", "clip_norm")
        require_below_one(self, where, "betas", "momentum")
        require_range(self, where, 0, 1, "final_fraction")
        require_range(self, where, 0, None, "weight_decay", "warmup_steps")


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
    compile: str | None
    compile_mode: str | None
    deterministic: bool
    max_steps: int
    max_minutes: float | None
    stages: tuple[StageSettings, ...]
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
        require_choice(
            self,
            where,
            accelerator=("auto", "cpu", "gpu", "cuda", "mps"),
            strategy=("auto", "ddp", "ddp_spawn", "ddp_fork"),
            precision=("auto", *PRECISIONS),
        )
        if self.compile is not None:
            require_choice(self, where, compile=("inductor", "cudagraphs", "aot_eager", "eager"))
        if self.compile_mode is not None:
            require_choice(self, where, compile_mode=COMPILE_MODES)
            if self.compile != "inductor":
                raise ConfigError(
                    f"{where}.compile_mode={self.compile_mode}: is of inductor alone; give {where}.compile=inductor too"
                )
        require_positive(self, where, "num_nodes", "max_steps", "max_minutes", "log_every", "validate_every")
        require_positive(self, where, "checkpoint_minutes", "checkpoint_steps", "early_stopping_patience")
        require_count(self, where, "threads", most=MOST_THREADS)
        require_range(self, where, 0, MOST, "validate_batches")
        require_range(self, where, 0, None, "picture_every")
        require_range(self, where, 0, 1, "ema_decay")
        if self.resume and self.init_from:
            raise ConfigError(f"{where}: resume goes on with a run, init_from starts one; give one of them")
        if self.stages and self.early_stopping_patience is not None:
            raise ConfigError(
                f"{where}: early_stopping_patience compares losses that stages change; give one of them"
            )
        self.plan()

    def plan(self) -> Plan:
        """The stages in their places."""
        return Plan(self.stages, self.max_steps)


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
        model: description that `voiceae.io.modelfile.build` turns into the model.
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
            given = config["audio"]
            for name, hint in get_type_hints(AudioSpec).items():
                if isinstance(given, Mapping) and name in given:
                    cast(given[name], hint, f"audio.{name}")
            audio = AudioSpec.from_dict(given)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"audio: {error}") from None
        seed = cast(config["seed"], int, "seed")
        if not 0 <= seed <= MOST_SEED:
            raise ConfigError(f"seed={seed}: must be from 0 to {MOST_SEED}")
        return cls(
            name=cast(config["name"], str, "name"),
            out=Path(cast(config["out"], str, "out")),
            seed=seed,
            audio=audio,
            data=DataSettings.read(config["data"], "data"),
            model=cast(config["model"], dict[str, Any], "model"),
            loss=cast(config["loss"], dict[str, Any], "loss"),
            optim=OptimSettings.read(config["optim"], "optim"),
            trainer=TrainerSettings.read(config["trainer"], "trainer"),
            vocoder=VocoderSettings.read(config["vocoder"], "vocoder"),
            config=dict(config),
        )

    def for_speakers(self, n_speakers: int) -> Settings:
        """With what only the store knows: every `n_speakers: null` of the model becomes their number."""
        return replace(self, model=_fill(self.model, "n_speakers", n_speakers))

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


def _fill(description: Any, name: str, known: Any) -> Any:
    """A description with the value of one key put in where it has none, at any depth."""
    if isinstance(description, Mapping):
        return {
            key: known if key == name and value is None else _fill(value, name, known)
            for key, value in description.items()
        }
    if isinstance(description, list | tuple):
        return [_fill(value, name, known) for value in description]
    return description
