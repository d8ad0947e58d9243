"""When a training ends: at its last step, when its time is up, or when it is asked to."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, Trainer

if TYPE_CHECKING:
    from voiceae.training.module import TrainingModule

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping(Callback):
    """Ends the loop after the step at which a limit is reached or a signal comes; all is saved then.

    A second signal acts as it would have without this callback.

    Args:
        max_minutes: wall time of this process; None has no limit.
    """

    def __init__(self, max_minutes: float | None) -> None:
        self.max_seconds = float("inf") if max_minutes is None else 60 * max_minutes
        self.started = time.monotonic()
        self.asked = False
        self.handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Listen to signals, in place of Lightning, which would raise in the middle."""
        if threading.current_thread() is threading.main_thread():
            self.handlers = {number: signal.signal(number, self.ask) for number in SIGNALS}

    def ask(self, number: int, frame: Any) -> None:
        """Signal handler."""
        self.asked = True
        self.forget()

    def forget(self) -> None:
        """Give the signals back."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: TrainingModule, *_: Any) -> None:  # type: ignore[override]
        """Decide, alike in all processes."""
        done = pl_module.step >= pl_module.settings.trainer.max_steps
        wish = self.asked or time.monotonic() - self.started > self.max_seconds
        if done or pl_module.agree(wish):
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop listening."""
        self.forget()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Stop listening."""
        self.forget()
