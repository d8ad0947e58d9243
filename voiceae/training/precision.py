"""Which precision a training calculates in: decided once, by the first process, and the same in all of them."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from pickle import PickleError

import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators.cuda import CUDAAccelerator
from lightning_fabric.accelerators.mps import MPSAccelerator

from voiceae.errors import ConfigError
from voiceae.hardware import bf16_support
from voiceae.training.settings import PRECISIONS, Settings

log = logging.getLogger("voiceae.training")
DAMAGED = (RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, PickleError)
"""What a damaged checkpoint raises when it is read, or one of another program."""


def decided(settings: Settings) -> Settings:
    """Settings with `fp32` or `bf16` in the place of `auto`; for the first process, which tells the others.

    A run that goes on keeps the precision that it was trained with, unless that would be slow here.

    Raises:
        ConfigError: where CUDA would have to be asked before this process is forked.
    """
    options = settings.trainer
    device = options.accelerator
    if device not in ("cpu", "mps", "cuda"):  # what Fabric will take, found out without touching a device
        device = "mps" if MPSAccelerator.is_available() else "cpu"
        device = "cuda" if CUDAAccelerator.is_available() else device
    if options.precision == "auto" and device == "cuda" and options.strategy == "ddp_fork":
        raise ConfigError(
            "trainer.precision=auto: asks CUDA, which processes that are forked afterwards could not use; "
            "give fp32 or bf16, or trainer.strategy=ddp"
        )
    earlier = None if settings.resume_from is None else trained_with(settings.resume_from)
    name = choose(options.precision, device, earlier)
    trainer = {**dict(settings.config["trainer"]), "precision": name}
    config = {**settings.config, "trainer": trainer}
    return replace(settings, trainer=replace(options, precision=name), config=config)


def choose(asked: str, device: str, earlier: str | None) -> str:
    """`fp32` or `bf16`, said in one line.

    Args:
        asked: `auto`, `fp32` or `bf16`.
        device: kind of device.
        earlier: what the run that goes on was trained with; None for one that begins, or does not say.
    """
    support = bf16_support(device)
    native, reason = support.native, support.reason
    name, why = asked, "as given"
    if asked == "auto":
        name, why = "bf16" if native else "fp32", reason
        if earlier == "bf16" and not native:
            warnings.warn(
                f"the run was trained in bf16, which is slow here ({reason}); it goes on in fp32, "
                "and is no longer exactly what it would have been",
                stacklevel=2,
            )
        elif earlier is not None:
            name, why = earlier, "as the run was trained"
    else:
        if asked == "bf16" and not native:
            warnings.warn(
                f"trainer.precision=bf16: {reason}, so it is many times slower than fp32 here; "
                "leave trainer.precision to auto",
                stacklevel=2,
            )
        if earlier not in (None, asked):
            warnings.warn(
                f"the run was trained in {earlier} and goes on in {asked}; it is no longer exactly what it would "
                "have been",
                stacklevel=2,
            )
    log.info("precision %s: %s", name, why)
    return name


def trained_with(checkpoint: Path) -> str | None:
    """Precision of the training that a checkpoint is of; None where nothing says it."""
    try:
        name = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["precision"]
    except DAMAGED:  # it is refused with its own words later
        return None
    return name if name in PRECISIONS else None


def shared_precision(settings: Settings, fabric: Fabric) -> Settings:
    """Settings with the precision of the first process, as soon as the processes know of each other.

    Two processes that autocast differently would average gradients of different models. What `auto` is can differ
    between the nodes of a cluster.

    Args:
        settings: in the first process with the precision decided.
        fabric: whose processes share it.
    """
    name = str(fabric.broadcast(settings.trainer.precision))
    if name == "bf16" and not fabric.is_global_zero:
        support = bf16_support(fabric.device.type)
        if not support.native:
            warnings.warn(
                f"process {fabric.global_rank}: the first process chose bf16, which is slow here ({support.reason}); "
                "give trainer.precision=fp32",
                stacklevel=1,
            )
    return replace(settings, trainer=replace(settings.trainer, precision=name))
