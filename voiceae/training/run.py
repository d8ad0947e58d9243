"""A whole training: build the parts, start the processes, leave a folder behind."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric, seed_everything
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.strategy import Strategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf

from voiceae.data.store import FeatureStore
from voiceae.errors import ConfigError, OutputError, TrainingError
from voiceae.io import modelfile
from voiceae.io.filesystem import atomic_path
from voiceae.io.locks import locked
from voiceae.training.checkpoints import require_fitting
from voiceae.training.loop import VALIDATION_SPLITS, Training, adversary_of
from voiceae.training.objectives.base import Objective
from voiceae.training.precision import decided
from voiceae.training.schema import check_parts
from voiceae.training.settings import Settings, TrainerSettings, is_first_process
from voiceae.vocoders.load import load_vocoder

START_METHODS = {"ddp": "popen", "ddp_spawn": "spawn", "ddp_fork": "fork"}


def fit(settings: Settings) -> Training:
    """Train, from the beginning or from where a run stopped; the run folder tells the rest.

    Args:
        settings: checked; see `configs/` for what each means.

    Returns:
        The ended training; its averaged weights are in `settings.out / "model.safetensors"`.

    Raises:
        VoiceAEError: when store, model and config do not fit, files cannot be written, or a loss is not
            finite.
    """
    settings.check_files()
    prepare_process(settings)
    store = FeatureStore.open(settings.data.store)
    settings.audio.require_same(store.spec, "config", "store")
    require_validation(settings, store)
    if settings.trainer.picture_every:
        load_vocoder(settings.vocoder.name, store.spec)  # refused now rather than at the first picture
    settings = settings.for_speakers(len(store.speakers))
    if is_first_process():
        settings = decided(settings)
    objective, earlier_legs = build_objective(settings, store)
    has_adversary = any(True for _ in adversary_of(objective).parameters())
    unused = has_adversary or objective.has_unused_parameters or bool(settings.trainer.stages)
    fabric = build_fabric(settings.trainer, has_unused_parameters=unused)
    training = Training(objective, store, settings, fabric, earlier_legs)
    with run_folder(settings):
        checkpoint = settings.resume_from
        if checkpoint is not None:
            require_fitting(checkpoint, training)
        if is_first_process():
            with atomic_path(settings.out / "config.yaml") as temporary:
                OmegaConf.save(settings.config, temporary)
        try:
            # A forked or spawned process trains a copy of its own, and sends its counters back.
            vars(training).update(fabric.launch(train, training, checkpoint))  # type: ignore[arg-type]
        except MisconfigurationException as error:
            raise ConfigError(f"trainer: {error}") from error
        except (ArithmeticError, MemoryError, RuntimeError) as error:
            raise explained(error, training) from error
    return training


def train(fabric: Fabric, training: Training, checkpoint: Path | None) -> dict[str, Any]:
    """Train in one of the processes that Fabric started: -> counters that the caller wants to know."""
    training.start(checkpoint)
    training.run()
    return {name: getattr(training, name) for name in ("step", "frames", "figures", "ended_by")}


def explained(error: Exception, training: Training) -> Exception:
    """What a user can mend of an error in the loop as one of ours; any other as it is."""
    text = " ".join(str(error).split())
    data = training.settings.data
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return TrainingError(
            f"out of memory with data.batch_size={data.batch_size}, data.crop_frames={data.crop_frames} and "
            f"data.reference_frames={data.reference_frames}; lower one of them, or the size of the model"
        )
    of_shapes = re.search(r"\b(shapes?|sizes?|dimensions?|channels|zero)\b", text)
    if training.step == training.first_step and of_shapes:
        return ConfigError(f"model, loss: their parts do not fit each other: {text}")
    return error


def require_validation(settings: Settings, store: FeatureStore) -> None:
    """Refuse early stopping where nothing is validated on.

    Raises:
        ConfigError: when it is asked for without validation batches, or without a validation split.
    """
    options = settings.trainer
    if options.early_stopping_patience is None:
        return
    asked = f"trainer.early_stopping_patience={options.early_stopping_patience}: needs validation"
    if not options.validate_batches:
        raise ConfigError(f"{asked}, but trainer.validate_batches=0; give both or neither")
    if not any(store.split(split) for split in VALIDATION_SPLITS):
        raise ConfigError(
            f"{asked}, but {store.path} holds nothing out; "
            "prepare it with --valid-utterances or --valid-speakers above 0, or leave the patience out"
        )


def prepare_process(settings: Settings) -> None:
    """Threads, seeds, how exact products are, and a quiet Fabric."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning_fabric\..*")
    options = settings.trainer
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")  # TF32 products on GPUs that have them
    torch.use_deterministic_algorithms(options.deterministic)
    if options.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS is not deterministic
    torch.backends.cudnn.benchmark = not options.deterministic  # crops have one shape
    seed_everything(settings.seed, verbose=False)


def build_objective(
    settings: Settings, store: FeatureStore
) -> tuple[Objective, tuple[Mapping[str, Any], ...]]:
    """The objective around a new or given model, and the legs of training the given one has behind it.

    Raises:
        ConfigError: when the config does not describe a model and its losses, or not the given model.
    """
    options = dict(settings.loss)
    objective = modelfile.find_class(options.pop("_target_"))
    check_parts(settings.model, "model")
    check_parts(settings.loss, "loss")
    model = modelfile.build(settings.model)
    if getattr(getattr(model, "timbre", None), "dim", 0) and not objective.trains_timbre:
        raise ConfigError(
            f"model/timbre=frames: {objective.__name__} never trains the lookup of frames; use model/timbre=none"
        )
    legs: tuple[Mapping[str, Any], ...] = ()
    if settings.trainer.init_from is None:
        try:
            model.set_statistics(torch.from_numpy(store.mean), torch.from_numpy(store.std))
        except (AttributeError, RuntimeError) as error:
            raise ConfigError(f"model: does not fit the store: {' '.join(str(error).split())}") from error
    else:
        given = modelfile.load(settings.trainer.init_from, kind=objective.kind)
        given.header.spec.require_same(store.spec, "model", "store")
        start_from = getattr(model, "start_from", model.load_state_dict)
        try:  # weights, codebooks and statistics
            start_from(given.module.state_dict())
        except RuntimeError as error:
            first = " ".join(str(error).split()[:24])
            raise ConfigError(
                f"trainer.init_from={settings.trainer.init_from}: is another model than the config describes: "
                f"{first} ..."
            ) from None
        legs = tuple(given.header.extra.get("legs", ()))
    try:
        return objective.configured(model, store, options), legs
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(f"loss: {' '.join(str(error).split())}") from error


def build_fabric(options: TrainerSettings, has_unused_parameters: bool) -> Fabric:
    """Devices and processes.

    Args:
        options: `trainer`.
        has_unused_parameters: whether some losses leave some weights without a gradient.

    Raises:
        ConfigError: when this machine does not have what the config asks for.
    """
    strategy: str | Strategy = "auto"
    if options.strategy != "auto":
        strategy = DDPStrategy(
            start_method=START_METHODS[options.strategy],  # type: ignore[arg-type]
            process_group_backend=options.process_group_backend,
            # The losses of model and discriminator leave each other's weights without a gradient.
            find_unused_parameters=has_unused_parameters,
            broadcast_buffers=False,  # statistics are constant, and codebooks keep themselves alike
        )
    try:
        return Fabric(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.num_nodes,
            strategy=strategy,
        )
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error


@contextmanager
def run_folder(settings: Settings) -> Iterator[None]:
    """Make the run folder and keep other trainings out of it while the block runs.

    Of several processes the first holds the lock for all.

    Raises:
        OutputError: when the folder cannot be made or written to, or another training is at work in it.
    """
    if not is_first_process():
        yield
        return
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{settings.out}: cannot be made: {error.strerror}") from error
    with locked(settings.out, "wait until that training has ended, or choose another out"):
        settings.check_files()  # again: another may have begun and ended since
        yield
