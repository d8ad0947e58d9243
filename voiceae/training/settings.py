"""The config of a training: Hydra composes it, checked dataclasses hold it; the defaults live in `configs/`.

Errors are one line, and nothing heavy is imported here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import PlainValidator

import voiceae
from voiceae.errors import ConfigError, OutputError, StoreError, did_you_mean
from voiceae.specs import AudioSpec
from voiceae.training.schema import (
    MOST,
    STRICT,
    BelowOne,
    Bool,
    Count,
    Int,
    IntOrName,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Share,
    check_value,
    count,
    keys_of,
    one_of,
    read,
    within,
)
from voiceae.training.stages import Plan, StageSettings

CONFIG_NAME = "config"
PRECISIONS = ("fp32", "bf16")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
LAST = "last.ckpt"
BEST = "best.ckpt"
MOST_THREADS = 1024  # OpenMP ends the process where it cannot start as many as it is asked for
MOST_SEED = 2**32 - 1  # that numpy's global generator takes, which the seed is given to as well


def _path(value: Any) -> Path:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Path):
        raise ConfigError(f"out={value!r}: expected str")
    return Path(str(value))


def _audio(values: Any) -> AudioSpec:
    try:
        for name, hint in get_type_hints(AudioSpec).items():
            if isinstance(values, Mapping) and name in values:
                check_value(values[name], hint, f"audio.{name}")
        return AudioSpec.from_dict(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"audio: {error}") from None


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """`data`: the store and the shape of a batch; see `configs/data`."""

    __pydantic_config__ = STRICT

    store: str
    batch_size: Count
    crop_frames: Count
    reference_frames: Count
    resident: Bool
    aligned_share: Share


@dataclass(frozen=True, kw_only=True)
class OptimSettings:
    """`optim`: optimisers and the schedule of their learning rate; see `configs/optim`."""

    __pydantic_config__ = STRICT

    kind: Annotated[str, one_of("adamw", "muon")]
    learning_rate: PositiveFloat
    adversary_learning_rate: PositiveFloat
    betas: tuple[BelowOne, BelowOne]
    epsilon: PositiveFloat
    weight_decay: NonNegativeFloat
    momentum: BelowOne
    warmup_steps: NonNegativeInt
    schedule: Annotated[str, one_of("cosine", "linear", "constant")]
    final_fraction: Share
    clip_norm: PositiveFloat | None


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """`trainer`: device, duration, resuming and reporting; see `configs/trainer/base.yaml`."""

    __pydantic_config__ = STRICT

    accelerator: Annotated[str, one_of("auto", "cpu", "gpu", "cuda", "mps")]
    devices: IntOrName
    num_nodes: PositiveInt
    strategy: Annotated[str, one_of("auto", "ddp", "ddp_spawn", "ddp_fork")]
    process_group_backend: str | None
    precision: Annotated[str, one_of("auto", *PRECISIONS)]
    threads: Annotated[Int, count(MOST_THREADS)] | None
    compile: Annotated[str, one_of("inductor", "cudagraphs", "aot_eager", "eager")] | None
    compile_mode: Annotated[str, one_of(*COMPILE_MODES)] | None
    deterministic: Bool
    max_steps: PositiveInt
    max_minutes: PositiveFloat | None
    stages: tuple[StageSettings, ...]
    resume: str | None
    init_from: str | None
    ema_decay: Share
    log_every: PositiveInt
    validate_every: PositiveInt
    validate_batches: Annotated[Int, within(0, MOST)]
    picture_every: NonNegativeInt
    checkpoint_minutes: PositiveFloat | None
    checkpoint_steps: PositiveInt | None
    early_stopping_patience: PositiveInt | None
    progress: Bool

    def __post_init__(self) -> None:
        """Refuse values that contradict each other.

        Raises:
            ConfigError: for the first two of them.
        """
        if self.compile_mode is not None and self.compile != "inductor":
            raise ConfigError(
                f"trainer.compile_mode={self.compile_mode}: is of inductor alone; give trainer.compile=inductor too"
            )
        if self.resume and self.init_from:
            raise ConfigError("trainer: resume goes on with a run, init_from starts one; give one of them")
        if self.stages and self.early_stopping_patience is not None:
            raise ConfigError(
                "trainer: early_stopping_patience compares losses that stages change; give one of them"
            )
        self.plan()

    def plan(self) -> Plan:
        """The stages in their places."""
        return Plan(self.stages, self.max_steps)


@dataclass(frozen=True, kw_only=True)
class VocoderSettings:
    """`vocoder`: what TensorBoard's audio is made with."""

    __pydantic_config__ = STRICT

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

    __pydantic_config__ = STRICT

    name: str
    out: Annotated[Path, PlainValidator(_path)]
    seed: Annotated[Int, within(0, MOST_SEED)]
    audio: Annotated[AudioSpec, PlainValidator(_audio)]
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
        if "config" in config:
            raise ConfigError("config: unknown key 'config'; it is what the whole is called")
        return read(cls, {**config, "config": dict(config)})

    def for_speakers(self, n_speakers: int) -> Settings:
        """With what only the store knows: every `n_speakers: null` of the model becomes their number."""
        return replace(self, model=_fill(self.model, "n_speakers", n_speakers))

    @property
    def checkpoints(self) -> Path:
        """Folder that the checkpoints are kept in."""
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
    return keys_of(Settings, where.split(".") if where else ())


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


def config_dir() -> Path:
    """Folder of the Hydra configs: inside an installed package, or beside it in a checkout.

    Raises:
        ConfigError: when neither is there.
    """
    package = Path(voiceae.__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / f"{CONFIG_NAME}.yaml").is_file():
            return folder
    raise ConfigError(f"{package}: comes without its configs; install voiceae again")


def compose(overrides: list[str]) -> dict[str, Any]:
    """The resolved config of some overrides, as plain dictionaries.

    Raises:
        ConfigError: for an unknown key or option, or a value that is missing or contradicts another.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            return resolved(hydra_compose(CONFIG_NAME, overrides))
        except ConfigError:
            raise
        except Exception as error:
            # Whatever a user's own YAML can hold: beside its two families of errors Hydra lets those of the YAML reader
            # and of decoding through, and raises plain ValueError, TypeError and AssertionError for odd structures.
            raise ConfigError(
                one_line(error) or f"the config cannot be read: {type(error).__name__}"
            ) from error


def resolved(config: Any) -> dict[str, Any]:
    """A composed config as plain dictionaries; a missing value raises OmegaConf's own error."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    if not isinstance(plain, dict):
        raise ConfigError(f"the config is {type(plain).__name__}; give keys and values")
    return {str(name): value for name, value in plain.items()}


def one_line(error: BaseException) -> str:
    """What a user should know of an error of Hydra or OmegaConf.

    Their several lines become one, without the search path, the object types and the advice of `+`.
    """
    from omegaconf.errors import MissingMandatoryValue

    unknown = re.search(r"Could not override '([\w.]+)'", str(error))
    if unknown:
        where = unknown[1].rpartition(".")[0]
        known = [f"{where}.{name}" if where else name for name in known_keys(where)]
        return f"unknown key {unknown[1]}" + (f"; {did_you_mean(unknown[1], known)}" if known else "")
    if isinstance(error, MissingMandatoryValue):
        return f"missing value: {error.full_key}; give it as {error.full_key}=..."
    text = str(error).split("Config search path:")[0]
    lines = [line.strip() for line in text.splitlines()]
    lines = ["".join(c for c in line if c.isprintable()) for line in lines]
    dull = ("full_key:", "object_type=", "reference_type=", "To append to your config", "Set the environment")
    return "; ".join(line.rstrip(".") for line in lines if line and not line.startswith(dull))


def without_paths(value: Any) -> Any:
    """The config with every path cut to its last name: a model file tells nothing of its machine."""
    if isinstance(value, Mapping):
        return {name: without_paths(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    return Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value
