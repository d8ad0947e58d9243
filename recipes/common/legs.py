"""The legs of a training one after another, each from the weights of the one before, within a budget.

    python legs.py --store STORE --out OUT --legs speaker:10,base:45,base_gan:20,vocoder:15,vocoder_gan:10 --minutes 60
    python legs.py --store STORE --out OUT --legs base,base_gan --steps 20,5 --start EARLIER [key=value ...]

A leg is an experiment, and the number behind it its share of the minutes. The minutes become steps by trying a few on
this machine; without --minutes and --steps the configs say how many. On a GPU the batch is doubled for as long as that
pays. OUT/NAME is the run folder of leg NAME; what has finished is kept, and what was cut short goes on. --start is a
folder with model.safetensors, vocoder.safetensors or both, whole or in parts: legs begin with their weights and fresh
optimisers, and the leg `speaker` is left out. Hydra overrides go to all legs.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from parts import join  # noqa: E402  # beside this file
from plan import overrides as drawn_together  # noqa: E402
from steps import seconds_per_step  # noqa: E402

VOCODERS = ("vocoder", "vocoder_gan")
BEFORE = {
    "base": ("speaker",),
    "vctk": ("speaker",),
    "vctk_mini": ("speaker",),
    "base_gan": ("base", "vctk"),
    "vocoder_gan": ("vocoder",),
}
"""Whose weights a leg starts from, where they are there."""
MODELS = (
    "base_gan",
    "base",
    "vctk",
    "vctk_mini",
)  # what vocoder_gan learns the reconstructions of: the first there
LARGEST_BATCH = 4096
PAYS = 1.15  # frames a second that twice the batch must bring; below it the chip is full
ALIGNED_SHARE = (
    0.33  # of a batch, where the store has aligned renderings; they are a minority beside recordings
)
OVERHEAD = 1.05  # validations, checkpoints and the start of a leg
SLACK = 1.1  # of a leg's time, after which it is ended wherever it is


@dataclass(frozen=True)
class Leg:
    """One experiment, and its share of the time."""

    name: str
    share: float

    @property
    def is_vocoder(self) -> bool:
        """Whether it trains the vocoder."""
        return self.name in VOCODERS


class Legs:
    """The legs, and what holds for all of them.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.legs = [read_leg(text) for text in options.legs.split(",")]
        counts = options.steps or [1]
        if len(counts) not in (1, len(self.legs)):
            sys.exit(
                f"legs: error: --steps: {len(counts)} numbers for {len(self.legs)} legs; give one, or one a leg"
            )
        self.steps = {leg.name: counts[number % len(counts)] for number, leg in enumerate(self.legs)}
        self.given: dict[str, Path] = {}
        if options.start:
            self.given = join(options.start, self.out / "start")
            if not self.given:
                sys.exit(
                    f"legs: error: --start {options.start}: holds no model.safetensors or vocoder.safetensors"
                )
        if "model.safetensors" in self.given:  # its speaker encoder has learnt already
            self.legs = [leg for leg in self.legs if leg.name != "speaker"]
        left = [leg for leg in self.legs if not self.done(leg).exists()]
        share = sum(leg.share for leg in left) / sum(leg.share for leg in self.legs)
        self.end = time.monotonic() + 60 * (options.minutes or 0) * share

    def run(self) -> None:
        """Train what has not finished."""
        for number, leg in enumerate(self.legs):
            if self.done(leg).exists():
                continue
            rest = sum(each.share for each in self.legs[number:] if not self.done(each).exists())
            minutes = max(0.0, self.end - time.monotonic()) / 60 * leg.share / rest
            self.train(leg, minutes)
            self.done(leg).touch()

    def train(self, leg: Leg, minutes: float) -> None:
        """One leg, from its last checkpoint if it has one."""
        began = time.monotonic()
        words = [f"experiment={leg.name}", f"data.store='{self.options.store.resolve()}'", *self.fixed(leg)]
        chosen = (
            self.out / f"{leg.name}.json"
        )  # so that a leg that goes on has the steps and batch it began with
        if not chosen.exists():
            found = self.choose(leg, words, minutes)
            chosen.with_suffix(".part").write_text(json.dumps(found))
            chosen.with_suffix(".part").replace(chosen)
        run = self.out / leg.name
        words += [*json.loads(chosen.read_text()), f"out='{run}'"]
        if (run / "checkpoints/last.ckpt").exists():
            words.append("trainer.resume=auto")
        else:
            if run.exists():  # stopped before its first checkpoint
                run.rename(self.out / f"{leg.name}.stopped-{time.time_ns()}")
            start = self.start(leg)
            words += [f"trainer.init_from='{start}'"] if start else []
        if self.options.minutes:
            left = minutes - (time.monotonic() - began) / 60
            words.append(f"trainer.max_minutes={max(0.05, SLACK * left):.3f}")
        print(f"== leg {leg.name}: {' '.join(words)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "voiceae", "train", *words], check=False)
        if done.returncode:
            sys.exit(done.returncode)  # it has said why

    def fixed(self, leg: Leg) -> list[str]:
        """Overrides of a leg that no measurement changes; the user's come last."""
        words = [] if leg.is_vocoder or not self.options.model else [f"model={self.options.model}"]
        if leg.name in MODELS:
            # What the leg `speaker` has learnt from channels and a teacher would be forgotten on clean crops.
            frozen = self.done(Leg("speaker", 0)).exists() or "model.safetensors" in self.given
            words += ["loss.frozen_speaker=true"] if frozen else []
            words += [f"data.aligned_share={ALIGNED_SHARE}"] if self.has_aligned_groups else []
        if leg.name == "vocoder_gan":
            trained = [
                self.out / name / "model.safetensors" for name in MODELS if self.done(Leg(name, 0)).exists()
            ]
            given = [self.given["model.safetensors"]] if "model.safetensors" in self.given else []
            words += [f"loss.finetune_on_reconstructions_of='{path}'" for path in [*trained, *given][:1]]
        for word in self.options.overrides:
            of_leg = re.match(r"(\w+):(?=[\w./+~@]+=)", word)
            if of_leg is None or of_leg[1] == leg.name:
                words.append(word[of_leg.end() :] if of_leg else word)
        return words

    @cached_property
    def has_aligned_groups(self) -> bool:
        """Whether the store was prepared with aligned renderings."""
        from voiceae.data.store import FeatureStore

        return any(utterance.group for utterance in FeatureStore.open(self.options.store).split("train"))

    def start(self, leg: Leg) -> Path | None:
        """The weights that a leg begins with: of the leg before, else those given."""
        for name in BEFORE.get(leg.name, ()):
            if self.done(Leg(name, 0)).exists():
                return self.out / name / "model.safetensors"
        return self.given.get("vocoder.safetensors" if leg.is_vocoder else "model.safetensors")

    def choose(self, leg: Leg, words: list[str], minutes: float) -> list[str]:
        """Batch and steps for a budget, as overrides; none where there is no budget."""
        from voiceae.training.settings import compose

        began = time.monotonic()
        if self.options.steps:
            return list(drawn_together(compose(words), self.steps[leg.name]))
        if not self.options.minutes:
            return []
        batch, seconds = self.measure(words)
        left = 60 * minutes - (time.monotonic() - began)
        steps = max(1, int(left / (OVERHEAD * seconds)))
        return [*batch, *drawn_together(compose([*words, *batch]), steps)]

    def measure(self, words: list[str]) -> tuple[list[str], float]:
        """The largest batch that pays, as overrides, and the seconds of a step with it."""
        import torch

        from voiceae.errors import TrainingError
        from voiceae.training.settings import compose

        settings = compose(words)
        size, seconds = settings["data"]["batch_size"], seconds_per_step(words)
        first, best = size, []
        on_gpu = torch.cuda.is_available() and settings["trainer"]["accelerator"] != "cpu"
        asked = any(word.startswith("data.batch_size=") for word in words)
        while on_gpu and not asked and 2 * size <= LARGEST_BATCH:
            # Noise falls with the root of the batch, so Adam's steps may grow with it (arXiv 2205.10287).
            rate = settings["optim"]["learning_rate"] * min(2.0, (2 * size / first) ** 0.5)
            more = [f"data.batch_size={2 * size}", f"optim.learning_rate={rate:.3g}"]
            try:
                took = seconds_per_step([*words, *more])
            except TrainingError:  # out of memory
                break
            finally:
                gc.collect()
                torch.cuda.empty_cache()
            if 2 * seconds / took < PAYS:
                break
            size, seconds, best = 2 * size, took, more
        return best, seconds

    def done(self, leg: Leg) -> Path:
        """The file that says that a leg has finished."""
        return self.out / f"{leg.name}.done"


def read_leg(text: str) -> Leg:
    """A leg from NAME or NAME:SHARE."""
    name, _, share = text.partition(":")
    return Leg(name, float(share or 1))


def whole_numbers(text: str) -> list[int]:
    """Whole numbers between commas."""
    return [int(number) for number in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train all legs; a bad input is one line and exit code 1."""
    from voiceae.errors import VoiceAEError

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="feature store, with waves for vocoders")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run folders")
    parser.add_argument("--legs", required=True, help="NAME:SHARE,...")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="for all legs together")
    budget.add_argument("--steps", type=whole_numbers, metavar="N[,N...]", help="of every leg, or of each")
    parser.add_argument("--start", type=Path, help="folder of weights to begin with")
    parser.add_argument("--model", help="option of the config group `model`")
    parser.add_argument("overrides", nargs="*", help="key=value, or NAME:key=value")
    try:
        Legs(parser.parse_args(arguments)).run()
    except VoiceAEError as error:
        sys.exit(f"legs: error: {error}")


if __name__ == "__main__":
    main()
