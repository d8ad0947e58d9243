"""Losses with names, and the weights that sum them."""

from voiceae.losses.reconstruction import reconstruction_loss
from voiceae.losses.schedules import Schedule
from voiceae.losses.speaker import contrastive_loss
from voiceae.losses.weights import LossWeights

__all__ = ["LossWeights", "Schedule", "contrastive_loss", "reconstruction_loss"]
