"""Whole trainings of a toy: what they leave, and that a killed one goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.conftest import Composer, run_script
from voiceae import cli
from voiceae.errors import ConfigError, OutputError, SpecMismatchError, TrainingError, VocoderError
from voiceae.io import modelfile
from voiceae.training import run
from voiceae.training.loop import Training
from voiceae.training.objectives.disentangling import Disentangling
from voiceae.training.optimizers import noise_seed
from voiceae.training.reporting import read_metrics
from voiceae.training.run import fit
from voiceae.training.settings import Settings

KILLED = """
import os, signal, sys
from voiceae.commands.train import main
from voiceae.training.loop import Training

step = Training.train_step

def killed(self, *arguments):
    if self.step == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments)

Training.train_step = killed
main(sys.argv[1:])
"""


def losses(settings: Settings) -> dict[tuple[float, str], float]:
    """Everything in metrics.jsonl but clocks, by step and name."""
    return {
        (line["step"], name): value
        for line in read_metrics(settings.out / "metrics.jsonl")
        for name, value in line.items()
        if name not in ("seconds", "frames_per_second")
    }


def test_a_run_leaves_everything_behind(composed: Composer, store: Path) -> None:
    settings = composed("trainer.picture_every=4")
    module = fit(settings)
    assert module.step == 8
    assert yaml.safe_load((settings.out / "config.yaml").read_text()) == settings.config
    assert {path.name for path in settings.checkpoints.iterdir()} == {"last.ckpt", "best.ckpt"}
    lines = read_metrics(settings.out / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 4, 6, 8, 8]
    assert {"frames", "seconds", "frames_per_second", "learning_rate", "gradient_norm", "total"} <= set(
        lines[0]
    )
    assert {"reconstruction", "reconstruction_raw", "speaker", "perplexity", "bits_per_second"} <= set(
        lines[0]
    )
    assert {"valid/total", "valid_speakers/total", "valid_utterances/total"} <= set(lines[2])
    assert lines[-1]["frames"] == 8 * 4 * 32
    assert lines[0]["learning_rate"] == pytest.approx(1e-3 * 2 / 500)
    events = EventAccumulator(str(settings.out / "tensorboard"), size_guidance={"images": 0, "audio": 0})
    events.Reload()
    tags: dict[str, Any] = events.Tags()
    assert {"train/total", "train/gradient_norm", "train/learning_rate", "valid/total"} <= set(
        tags["scalars"]
    )
    assert [event.step for event in events.Images("mel/0")] == [4, 8]
    assert {"input/0", "reconstructed/0", "converted/0"} <= set(tags["audio"])


def test_the_model_file_holds_the_averages_and_tells_no_paths(composed: Composer, store: Path) -> None:
    settings = composed("trainer.ema_decay=0.5")
    module = fit(settings)
    loaded = modelfile.load(settings.out / "model.safetensors", kind="autoencoder")
    for weight, average in zip(loaded.module.parameters(), module.averages.values, strict=True):
        assert torch.equal(weight, average)
    trained = module.objective.model.state_dict()
    assert not torch.equal(
        loaded.module.state_dict()["content.enter.weight"], trained["content.enter.weight"]
    )
    assert torch.equal(loaded.module.state_dict()["mel_mean"], trained["mel_mean"])
    assert trained["mel_mean"].abs().sum() > 0
    extra = loaded.header.extra
    assert (extra["corpus"], extra["steps"], extra["frames"], extra["seed"]) == ("invented", 8, 8 * 4 * 32, 0)
    figure = read_metrics(settings.out / "metrics.jsonl")[-1]["valid/total"]
    assert extra["validation"]["valid/total"] == pytest.approx(figure, rel=1e-6)
    assert str(store.parent) not in json.dumps(extra)
    assert str(settings.out.parent) not in json.dumps(extra)


@pytest.mark.parametrize("killed_at", [7])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    composed: Composer, overrides: list[str], tmp_path: Path, killed_at: int
) -> None:
    # The checkpoint at 5 lies inside a window of the log, and not on a validation.
    more = ["trainer.max_steps=10", "trainer.checkpoint_steps=5", "trainer.log_every=2"]
    more += ["optim=muon", "loss=gan"]  # three optimisers
    whole = composed(*more, f"out={tmp_path / 'whole'}")
    fit(whole)
    killed = run_script(tmp_path / "killed.py", KILLED.format(step=killed_at), [*overrides, *more])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = composed(*more, "trainer.resume=auto")
    assert (resumed.out / ".lock").exists()  # left behind, and no hindrance
    assert {step for step, _ in losses(resumed)} == {2, 4, 6}
    module = fit(resumed)
    assert not (resumed.out / ".lock").exists()
    assert module.frames == 10 * 4 * 32
    assert losses(resumed) == pytest.approx(losses(whole), abs=1e-6)
    assert module.seconds > 0


def test_checkpoints_hold_every_optimiser_and_nothing_to_unpickle(composed: Composer) -> None:
    settings = composed(
        "optim=muon",
        "loss=gan",
        "trainer.max_steps=4",
        "trainer.early_stopping_patience=3",
    )
    fit(settings)
    checkpoint = torch.load(settings.checkpoints / "last.ckpt", weights_only=True)
    assert len(checkpoint["optimizers"]) == 3
    assert all(state["state"] for state in checkpoint["optimizers"])
    assert checkpoint["step"] == 4
    assert "model.bottleneck.cluster_size" in checkpoint["objective"]
    assert len(checkpoint["averages"]) > 5


def test_a_leg_starts_from_given_weights_and_remembers(
    composed: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = composed(f"out={tmp_path / 'first'}", "trainer.max_steps=2")
    fit(first)
    given = modelfile.load(first.out / "model.safetensors", kind="autoencoder").module.state_dict()
    second = composed(f"trainer.init_from={first.out / 'model.safetensors'}", "seed=5", "trainer.max_steps=3")
    objective, legs = run.build_objective(second, run.FeatureStore.open(second.data.store))
    assert all(torch.equal(given[name], value) for name, value in objective.model.state_dict().items())
    assert [leg["steps"] for leg in legs] == [2]
    monkeypatch.setattr(type(objective), "teachers", ("another network",))
    fit(second)
    extra = modelfile.read_header(second.out / "model.safetensors").extra
    assert [(leg["steps"], leg["seed"], leg["corpus"]) for leg in extra["legs"]] == [
        (2, 0, "invented"),
        (3, 5, "invented"),
    ]
    assert [leg["teachers"] for leg in extra["legs"]] == [[], ["another network"]]
    assert (extra["steps"], extra["frames"]) == (5, 5 * 4 * 32)
    with pytest.raises(ConfigError, match="another model than the config describes"):
        fit(
            composed(
                f"trainer.init_from={first.out / 'model.safetensors'}", "model.speaker.channels=24", "out=x"
            )
        )


def test_time_and_signals_end_a_run_with_everything_saved(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = composed(
        "trainer.max_steps=100000", "trainer.validate_every=1000", "trainer.checkpoint_steps=null"
    )
    step = Training.train_step

    def signalled(self: Training, *arguments: Any) -> None:
        step(self, *arguments)
        if self.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Training, "train_step", signalled)
    assert fit(settings).step == 5
    assert signal.getsignal(signal.SIGTERM) == before
    checkpoint = torch.load(settings.checkpoints / "last.ckpt", weights_only=True)
    assert checkpoint["step"] == 5
    assert "valid/total" in read_metrics(settings.out / "metrics.jsonl")[-1]
    monkeypatch.setattr(Training, "train_step", step)
    timed = composed("trainer.max_steps=100000", "trainer.max_minutes=1e-9", "trainer.resume=auto")
    with pytest.warns(UserWarning, match=r"trainer\.max_minutes=1e-09 were over before the first step"):
        assert fit(timed).step == 5
    late = iter([False, True])  # asked before the first step, and after it
    monkeypatch.setattr(Training, "time_is_up", lambda self: next(late))
    assert fit(timed).step == 6
    assert torch.load(settings.checkpoints / "last.ckpt", weights_only=True)["step"] == 6


def test_a_validation_uses_the_averages_and_leaves_the_weights_as_they_were(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, validation_step = Training.train_step, Training.validation_step
    trained: list[torch.Tensor] = []
    averaged: list[torch.Tensor] = []
    validations = []

    def weights(self: Training) -> list[torch.Tensor]:
        return [weight.detach().clone() for weight in self.objective.model.parameters()]

    def watched_step(self: Training, *arguments: Any) -> None:
        assert not trained or all(map(torch.equal, trained, weights(self))), f"moved before step {self.step}"
        step(self, *arguments)
        trained[:], averaged[:] = weights(self), [value.clone() for value in self.averages.values]

    def watched_validation(self: Training, *arguments: Any) -> None:
        assert all(map(torch.equal, averaged, weights(self)))
        assert not all(map(torch.equal, averaged, trained))
        validations.append(self.step)
        validation_step(self, *arguments)

    monkeypatch.setattr(Training, "train_step", watched_step)
    monkeypatch.setattr(Training, "validation_step", watched_validation)
    module = fit(
        composed(
            "trainer.validate_every=2", "optim.warmup_steps=0", "trainer.ema_decay=0.5", "trainer.max_steps=5"
        )
    )
    assert validations == [2, 2, 4, 4, 5, 5]  # of two splits
    assert all(map(torch.equal, trained, weights(module)))


def test_validation_is_under_the_weights_of_the_end_and_training_under_those_of_the_step(
    composed: Composer,
) -> None:
    rise = "loss.weights.commitment={value: 2.0, kind: linear, steps: 8}"
    stage = "trainer.stages=[{name: a, steps: 8}]"
    settings = composed(
        *(rise, stage, "trainer.max_steps=4", "trainer.log_every=1", "trainer.validate_every=2")
    )
    fit(settings)
    for line in read_metrics(settings.out / "metrics.jsonl"):
        for name in [name for name in line if name.endswith("commitment")]:
            weight = 2.0 if "/" in name else 2.0 * (line["step"] - 1) / 8
            assert line[name] == pytest.approx(weight * line[f"{name}_raw"], rel=1e-4), (line["step"], name)


def test_the_best_checkpoint_is_the_best_also_of_a_resumed_run(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = dict(enumerate([5.0, 2.0, 4.0, 3.0, 1.0, 1.5], start=1))
    gather = Training.validate

    def told(self: Training) -> None:
        gather(self)
        self.figures["valid/total"] = totals[self.step]

    monkeypatch.setattr(Training, "validate", told)
    each = ["trainer.validate_every=1", "trainer.checkpoint_steps=1", "trainer.resume=auto"]
    for ends, best in ((3, 2), (4, 2), (6, 5)):
        settings = composed(*each, f"trainer.max_steps={ends}")
        fit(settings)
        kept = torch.load(settings.checkpoints / "best.ckpt", weights_only=True)
        assert (kept["step"], kept["figures"]["valid/total"]) == (best, totals[best])


def test_the_adversary_learns_at_its_own_rate(composed: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step of Adam is as long as the learning rate, for every weight that has a gradient."""
    step, moved = Training.train_step, {}

    def watched(self: Training, *arguments: Any) -> None:
        before = {name: weight.detach().clone() for name, weight in self.objective.named_parameters()}
        step(self, *arguments)
        for name, weight in self.objective.named_parameters():
            side = "adversary" if name.startswith("adversary.") else "model"
            moved[side] = max(moved.get(side, 0.0), (weight - before[name]).abs().max().item())

    monkeypatch.setattr(Training, "train_step", watched)
    fit(
        composed(
            *("loss=gan", "trainer.max_steps=1", "optim.warmup_steps=0", "optim.schedule=constant"),
            *("optim.learning_rate=1e-3", "optim.adversary_learning_rate=4e-3", "optim.weight_decay=0"),
        )
    )
    assert moved == pytest.approx({"model": 1e-3, "adversary": 4e-3}, rel=0.02)


def test_noise_belongs_to_a_step_a_rank_and_a_purpose(composed: Composer) -> None:
    module = fit(composed("trainer.max_steps=1", "trainer.validate_batches=0"))
    seeds = [module.noise(*asked).initial_seed() for asked in ((0,), (1,), (0, "valid_speakers"))]
    seeds += [noise_seed(0, 0, rank=1), noise_seed(1, 0, rank=0)]
    assert len(set(seeds)) == 5 and seeds[0] == noise_seed(0, 0, rank=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_command_with_its_exit_code_and_everything_saved(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    step = Training.train_step

    def signalled(self: Training, *arguments: Any) -> None:
        step(self, *arguments)
        if self.step == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Training, "train_step", signalled)
    more = ["trainer.checkpoint_steps=null", "trainer.validate_batches=0"]
    assert cli.run(["train", *overrides, *more]) == 128 + number
    kept = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["step"] == 2


def test_early_stopping_stops(composed: Composer) -> None:
    settings = composed(
        "trainer.early_stopping_patience=1",
        "trainer.max_steps=1000",
        "trainer.validate_every=2",
        "optim.learning_rate=1e-12",  # nothing gets better
        "model.bottleneck.decay=1",
        "model.bottleneck.revive_below=0",
    )
    assert fit(settings).step < 20


def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_saved(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = composed("trainer.checkpoint_steps=2")
    forward = Disentangling.forward

    def broken(self: Disentangling, batch: Any, step: int, generator: torch.Generator) -> Any:
        result = forward(self, batch, step, generator)
        return type(result)(result.total * (float("nan") if step == 2 else 1), result.losses, result.stats)

    monkeypatch.setattr(Disentangling, "forward", broken)
    with pytest.raises(TrainingError, match=r"total not finite at step 4; .*trainer\.resume=auto"):
        fit(settings)
    checkpoint = torch.load(settings.checkpoints / "last.ckpt", weights_only=True)
    assert checkpoint["step"] == 2
    assert all(value.isfinite().all() for value in checkpoint["objective"].values())


def test_a_rate_far_too_high_advises_what_can_be_done(composed: Composer) -> None:
    steep = ["optim.learning_rate=1e9", "optim.warmup_steps=0", "trainer.max_steps=6", "trainer.log_every=2"]
    with pytest.raises(
        TrainingError, match=r"^[^\n]*not finite at step 2; .*train anew into another out \(no checkpoint was"
    ):
        fit(composed(*steep, "trainer.checkpoint_steps=4"))
    # Nothing that is not finite is saved, also where a checkpoint comes before a line of the log.
    early = composed(*steep, "trainer.log_every=6", "trainer.checkpoint_steps=1", "trainer.resume=auto")
    with pytest.raises(TrainingError, match=r"^weights not finite at step \d; lower optim\.learning_rate"):
        fit(early)
    if (early.checkpoints / "last.ckpt").exists():
        kept = torch.load(early.checkpoints / "last.ckpt", weights_only=True)["objective"]
        assert all(value.isfinite().all() for value in kept.values())


def test_a_collapsed_codebook_is_warned_of(composed: Composer) -> None:
    with pytest.warns(UserWarning, match="step 4: valid_utterances/perplexity is .* the codebook has died"):
        fit(composed("model.bottleneck.size=2", "trainer.max_steps=4"))


def test_bf16_and_a_fixed_seed_are_repeatable(composed: Composer, tmp_path: Path) -> None:
    runs = [
        composed("trainer.precision=bf16", f"out={tmp_path / name}", "trainer.max_steps=2") for name in "ab"
    ]
    for settings in runs:
        fit(settings)
    assert losses(runs[0]) == losses(runs[1])
    other = composed(f"out={tmp_path / 'c'}", "trainer.max_steps=2")
    fit(other)
    assert losses(other) != losses(runs[0])


def test_what_does_not_fit_is_refused(composed: Composer, tmp_path: Path) -> None:
    with pytest.raises(SpecMismatchError, match="hop_length: config 128, store 256"):
        fit(composed("audio.hop_length=128"))
    with pytest.raises(ConfigError, match="no_such"):
        fit(composed("+model.content.no_such=1"))
    with pytest.raises(ConfigError, match=r"loss"):
        fit(composed("+loss.no_such=1"))
    with pytest.raises(ConfigError, match="trainer: "):
        fit(composed("trainer.accelerator=mps"))
    with pytest.raises(VocoderError, match="no such vocoder"):
        fit(composed("vocoder.name=no_such", "trainer.picture_every=4"))
    with pytest.raises(ConfigError, match="Reconstruction never trains the lookup"):
        fit(composed("loss=reconstruction", "model/timbre=frames", "model.timbre.dim=8"))
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(OutputError, match="cannot be made"):
        fit(composed(f"out={blocked / 'run'}"))


def test_a_checkpoint_that_cannot_be_gone_on_from_is_refused(composed: Composer, tmp_path: Path) -> None:
    fit(composed("trainer.max_steps=1", "trainer.validate_batches=0"))
    with pytest.raises(ConfigError, match="another model than the config describes"):
        fit(composed("trainer.resume=auto", "model.bottleneck.size=8"))
    last = composed().checkpoints / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(ConfigError, match="is damaged"):
        fit(composed("trainer.resume=auto"))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ("seed=3", "seed 0, the config has 3"),
        ("data.batch_size=2", "data.batch_size 4, the config has 2"),
        ("optim=muon", "optim.kind adamw, the config has muon"),
    ],
)
def test_a_run_goes_on_as_it_began_or_not_at_all(composed: Composer, changed: str, field: str) -> None:
    fit(composed("trainer.max_steps=1", "trainer.validate_batches=0"))
    with pytest.raises(ConfigError, match=f"^trainer.resume: .*last.ckpt: was trained with {field}; [^\n]*$"):
        fit(composed("trainer.resume=auto", changed))


def test_a_run_goes_on_with_its_own_store(composed: Composer, store: Path, tmp_path: Path) -> None:
    short = ["trainer.validate_batches=0", "trainer.resume=auto"]
    fit(composed("trainer.max_steps=1", *short))
    moved = shutil.copytree(store, tmp_path / "moved")
    assert fit(composed("trainer.max_steps=2", f"data.store={moved}", *short)).step == 2
    table = (moved / "utterances.csv").read_text()
    (moved / "utterances.csv").write_text(table.replace("s0,", "t0,"))
    with pytest.raises(ConfigError, match=r"was trained with data\.store \(fingerprint\) [0-9a-f]{12}, "):
        fit(composed("trainer.max_steps=3", f"data.store={moved}", *short))


def test_a_checkpoint_that_says_nothing_of_its_settings_is_refused(composed: Composer) -> None:
    settings = composed("trainer.max_steps=1", "trainer.validate_batches=0")
    fit(settings)
    last = settings.checkpoints / "last.ckpt"
    kept = torch.load(last, weights_only=True)
    del kept["resume_identity"]
    torch.save(kept, last)
    more = ["trainer.max_steps=2", "trainer.validate_batches=0", "trainer.resume=auto"]
    with pytest.raises(ConfigError, match="is no checkpoint of a training"):
        fit(composed(*more))


def test_early_stopping_without_validation_is_refused(
    composed: Composer, store: Path, tmp_path: Path
) -> None:
    patient = "trainer.early_stopping_patience=2"
    with pytest.raises(
        ConfigError, match=r"^trainer\.early_stopping_patience=2: .*validate_batches=0; [^\n]*$"
    ):
        fit(composed(patient, "trainer.validate_batches=0"))
    bare = shutil.copytree(store, tmp_path / "bare")
    table = re.sub("valid_(speakers|utterances)", "train", (bare / "utterances.csv").read_text())
    (bare / "utterances.csv").write_text(table)
    with pytest.raises(ConfigError, match=r"^trainer\.early_stopping_patience=2: .*bare holds nothing out; "):
        fit(composed(patient, f"data.store={bare}"))
    assert not (tmp_path / "run").exists()
    assert fit(composed("trainer.max_steps=1", f"data.store={bare}")).step == 1


def test_a_run_without_validation_splits_trains(composed: Composer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        settings = composed("trainer.validate_batches=0")
        assert fit(settings).step == 8
    assert not (settings.checkpoints / "best.ckpt").exists()
    assert (settings.out / "model.safetensors").exists()


HANG_GUARD = 50  # steps; a loop that ought to end and does not fails in place of hanging


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that does not end is broken off."""
    asked = iter(range(HANG_GUARD))
    step = Training.train_step

    def counted(self: Training) -> None:
        assert next(asked, None) is not None, "the loop does not end"
        step(self)

    monkeypatch.setattr(Training, "train_step", counted)


STAGED = "trainer.stages=[{name: a, steps: 1}, {name: b, steps: 3}]"


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("more", [[], [STAGED, "trainer.max_steps=4"]])
def test_a_finished_run_resumed_ends_at_once_and_changes_nothing(composed: Composer, more: list[str]) -> None:
    short = ["trainer.max_steps=4", "trainer.validate_every=2", *more]
    settings = composed(*short)
    fit(settings)
    names = ["metrics.jsonl", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "model.safetensors"]
    before = {name: (settings.out / name).read_bytes() for name in names}
    with pytest.warns(UserWarning, match=r"run: is finished at step 4; raise trainer\.max_steps above 4"):
        assert fit(composed(*short, "trainer.resume=auto")).step == 4
    with pytest.warns(UserWarning, match="is finished"):  # a config that asks for less
        assert fit(composed(*short, "trainer.resume=auto", "trainer.max_steps=3")).step == 4
    assert {name: (settings.out / name).read_bytes() for name in names} == before
    assert not (settings.out / ".lock").exists()


@pytest.mark.usefixtures("bounded")
@pytest.mark.filterwarnings("ignore:.*is finished at step 2")
def test_a_run_killed_between_its_last_files_gets_them(composed: Composer, tmp_path: Path) -> None:
    short = ["trainer.max_steps=2", "trainer.resume=auto"]
    settings = composed(*short)
    fit(settings)
    model = settings.out / "model.safetensors"
    model.unlink()
    fit(settings)
    assert modelfile.read_header(model).extra["steps"] == 2
    elsewhere = composed(
        *short, f"out={tmp_path / 'new'}", f"trainer.resume={settings.checkpoints / 'last.ckpt'}"
    )
    fit(elsewhere)
    assert (elsewhere.checkpoints / "last.ckpt").exists() and (elsewhere.out / "model.safetensors").exists()


@pytest.mark.usefixtures("bounded")
def test_early_stopping_once_decided_stays_so(composed: Composer) -> None:
    stuck = [
        *("trainer.max_steps=1000", "trainer.validate_every=2", "trainer.resume=auto"),
        *("optim.learning_rate=1e-12", "model.bottleneck.decay=1", "model.bottleneck.revive_below=0"),
        "trainer.checkpoint_steps=2",
    ]
    ended = fit(composed(*stuck, "trainer.early_stopping_patience=1")).step
    with pytest.warns(UserWarning, match=rf"was ended at step {ended}, .*early_stopping_patience above 1 "):
        assert fit(composed(*stuck, "trainer.early_stopping_patience=1")).step == ended
    assert fit(composed(*stuck, "trainer.early_stopping_patience=2")).step > ended


def test_a_second_training_in_a_run_folder_is_refused_by_name(
    composed: Composer,
    overrides: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ["trainer.max_steps=3", "trainer.validate_batches=0", "trainer.resume=auto"]
    step, turns, second = Training.train_step, iter([1]), []

    def joined(self: Training, *arguments: Any) -> None:
        if self.step == 1 and next(turns, None):
            second.append(cli.run(["train", *overrides, *more]))
        step(self, *arguments)

    monkeypatch.setattr(Training, "train_step", joined)
    settings = composed(*more)
    assert fit(settings).step == 3
    assert second == [1]
    *_, refusal = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"voiceae: error: {settings.out}: is being written by process {os.getpid()} on .*another out",
        refusal,
    )
    assert [line["step"] for line in read_metrics(settings.out / "metrics.jsonl")] == [2, 3]
