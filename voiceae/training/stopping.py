"""When a training ends: at its last step, when its time is up, or when it is asked to."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping

if TYPE_CHECKING:
    from voiceae.training.module import TrainingModule

SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
]  # Windows has no SIGHUP


class Stopping(Callback):
    """Ends the loop after the step at which a limit is reached or a signal comes; all is saved then.

    A run that is resumed at its end does no step more. A second signal acts as it would have without this callback.

    Args:
        max_minutes: wall time of this process; None has no limit.
    """

    def __init__(self, max_minutes: float | None) -> None:
        self.max_seconds = float("inf") if max_minutes is None else 60 * max_minutes
        self.started = time.monotonic()
        self.signal: int | None = None
        self.handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        """Listen to signals, in place of Lightning, which would raise in the middle; end a finished run."""
        if threading.current_thread() is threading.main_thread():
            heard = [
                number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN
            ]  # as nohup does
            self.handlers = {number: signal.signal(number, self.ask) for number in heard}
        reason = self.reason_not_to_begin(trainer, pl_module)
        if reason is not None:
            trainer.should_stop = True
            if trainer.is_global_zero:
                warnings.warn(f"{pl_module.settings.out}: {reason}", stacklevel=1)

    def reason_not_to_begin(self, trainer: Trainer, module: TrainingModule) -> str | None:
        """Why no step is to be done, alike in all processes; None where there is something to do."""
        options, step = module.settings.trainer, module.step
        if step >= options.max_steps:
            return f"is finished at step {step}; raise trainer.max_steps above {step} to train on"
        stopper = trainer.early_stopping_callback
        if isinstance(stopper, EarlyStopping) and options.early_stopping_patience is not None:
            stopper.patience = options.early_stopping_patience  # the config's, not the checkpoint's
            if stopper.wait_count >= stopper.patience:
                return (
                    f"was ended at step {step}, as valid/total got no better; "
                    f"raise trainer.early_stopping_patience above {stopper.wait_count} to train on"
                )
        if trainer.strategy.broadcast(self.time_is_up()):
            return f"trainer.max_minutes={options.max_minutes} were over before the first step; give more"
        return None

    def time_is_up(self) -> bool:
        """Whether the limit is passed."""
        return time.monotonic() - self.started > self.max_seconds

    def ask(self, number: int, frame: Any) -> None:
        """Signal handler."""
        self.signal = number
        self.forget()

    def forget(self) -> None:
        """Give the signals back."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: TrainingModule, *_: Any) -> None:  # type: ignore[override]
        """Decide, alike in all processes."""
        done = pl_module.step >= pl_module.settings.trainer.max_steps
        wish = self.signal is not None or self.time_is_up()
        if done or pl_module.agree(wish):
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop listening, and leave behind what ended the training."""
        self.forget()
        pl_module.ended_by = self.signal

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Stop listening."""
        self.forget()
