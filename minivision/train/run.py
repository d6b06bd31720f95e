"""A run in its folder: begun afresh or resumed, saved at every epoch's end and at Ctrl-C, finished with figures and weights."""

from __future__ import annotations

import json
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from statistics import harmonic_mean
from typing import Any

import numpy as np

from .. import kernels
from ..backend import backend, get_backend
from ..checkpoint import load_checkpoint, load_metadata, save_checkpoint
from ..errors import CheckpointError, SettingError, TrainingError
from . import folder
from .config import Config, PretrainConfig, RunConfig, TextConfig
from .pretrain import Pretrainer
from .streams import text_trainer
from .trainer import Trainer


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the state was saved."""


class Watcher:
    """Told what happens in a run; a screen overrides these."""

    def began(self, trainer: Trainer) -> None:
        """The model and the data are there; `trainer.step` is above 0 in a resumed run."""

    def moved(self, earlier: Path) -> None:
        """An earlier run's files were moved to this folder."""

    def stepped(self, trainer: Trainer) -> None:
        """A step was done."""

    def tested(self, trainer: Trainer) -> None:
        """An epoch was done: its figures are `trainer.rows[-1]`."""

    def stopping(self) -> None:
        """Ctrl-C was pressed: the step under way will be finished. Called from the signal's handler."""


SILENT = Watcher()
FIGURES = "test_accuracy", "test_loss", "train_accuracy", "bits_per_byte"  # of the last epoch, as far as a run has them
TRAINERS: dict[type[RunConfig], Callable[..., Trainer]] = {Config: Trainer, PretrainConfig: Pretrainer, TextConfig: text_trainer}
COMMANDS = {Config: "minivision train", PretrainConfig: "minivision pretrain", TextConfig: "minivision train"}


def start(config: RunConfig, out: Path, watcher: Watcher = SILENT) -> dict[str, Any]:
    """Trains from the beginning and returns the metrics; an earlier run's files in `out` are moved aside first.

    Leaves config.json, metrics.csv, metrics.json, model.safetensors and report.png. Raises what `go_on` raises.
    """
    with backend(config.backend):
        trainer = TRAINERS[type(config)](config)
        out.mkdir(parents=True, exist_ok=True)
        if earlier := folder.move_aside(out):
            watcher.moved(earlier)
        folder.write_json(out / folder.CONFIG, asdict(config))
        return go_on(trainer, out, watcher)


def resume(out: Path, asked: Mapping[str, Any], watcher: Watcher = SILENT, kind: type[RunConfig] = Config) -> dict[str, Any]:
    """Goes on with the run saved in `out`, to the bits that it would have had without a stop; returns the metrics.

    asked: settings that must be this run's, SettingError names those that differ. kind: of its configuration; CheckpointError
    for a run of another kind. A finished run only gives its metrics.
    """
    if not (out / folder.STATE).exists():
        return _finished(out, asked, kind)
    arrays, more = load_state(out)
    config = _config(kind, more["config"], out)
    _check_asked(out, config, asked)
    with backend(config.backend):
        trainer = TRAINERS[kind](config, resumed=True)
        trainer.restore(arrays, more)
        return go_on(trainer, out, watcher)


def _config(kind: type[RunConfig], saved: Mapping[str, Any], out: Path) -> RunConfig:
    """The saved settings; CheckpointError where another command's run has them."""
    for other in COMMANDS:
        strangers = saved.keys() - {each.name for each in fields(kind)}
        if other is not kind and strangers and saved.keys() <= {each.name for each in fields(other)}:
            raise CheckpointError(f"the run in {out} is of `{COMMANDS[other]}`; go on with it by that command")
    return kind(**saved)


def _finished(out: Path, asked: Mapping[str, Any], kind: type[RunConfig]) -> dict[str, Any]:
    if not (out / folder.METRICS).exists():
        raise CheckpointError(f"{out} holds no run to resume: there is no {folder.STATE} in it")
    try:
        found = json.loads((out / folder.METRICS).read_text())
        config = _config(kind, found["config"], out)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{out / folder.METRICS} is not what a finished run leaves ({error})") from None
    _check_asked(out, config, asked)
    return found


def _check_asked(out: Path, config: RunConfig, asked: Mapping[str, Any]) -> None:
    if differences := config.differences(asked):
        hint = "leave these out to go on with it, or start another run in another folder"
        raise SettingError(f"the run in {out} has other settings: {'; '.join(differences)}\n  hint: {hint}")


def go_on(trainer: Trainer, out: Path, watcher: Watcher) -> dict[str, Any]:
    """Trains to the end, saving as it goes.

    Interrupted at Ctrl-C, once the step under way is done and the state saved; TrainingError where the loss or its
    gradient is not finite, once the last good weights are saved.
    """
    watcher.began(trainer)
    with ctrl_c(watcher) as pressed:
        try:
            for tested in trainer.steps():
                (watcher.tested if tested else watcher.stepped)(trainer)
                if tested or pressed.is_set():
                    save_state(trainer, out)
                if pressed.is_set():
                    raise Interrupted
        except TrainingError as error:
            trainer.back_to_good()
            save_checkpoint(out / folder.MODEL, trainer.model.state_dict())
            kept = f"  kept: {out / folder.MODEL}, the weights of the last step whose loss and gradient were finite"
            raise TrainingError(f"{error}\n{kept}\n  hint: try --lr below {trainer.config.lr:g}") from None
    return finish(trainer, out)


@contextmanager
def ctrl_c(watcher: Watcher) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, so that no step is cut in two; a second Ctrl-C stops at once."""
    pressed, before = threading.Event(), signal.getsignal(signal.SIGINT)
    mine = threading.current_thread() is threading.main_thread() and before == signal.default_int_handler

    def press(number: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)
        watcher.stopping()

    if mine:
        signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)


def save_state(trainer: Trainer, out: Path) -> None:
    """Everything needed to go on, in one file, and the figures so far."""
    arrays, more = trainer.state()
    save_checkpoint(out / folder.STATE, arrays, {"run": json.dumps(more)})
    if trainer.rows:
        folder.write_csv(out / folder.ROWS, trainer.rows)


def load_state(out: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_state` saved; CheckpointError where the file is something else."""
    arrays = load_checkpoint(out / folder.STATE)
    try:
        return arrays, json.loads(load_metadata(out / folder.STATE)["run"])
    except (KeyError, ValueError):
        raise CheckpointError(f"{out / folder.STATE} is no saved run") from None


def finish(trainer: Trainer, out: Path) -> dict[str, Any]:
    """Writes weights, figures and picture, and removes the state: nothing is left to resume."""
    found, picture = trainer.results(metrics(trainer))
    for name, content in trainer.more_files().items():
        folder.write_text(out / name, content)
    save_checkpoint(out / folder.MODEL, trainer.model.state_dict())
    folder.write_csv(out / folder.ROWS, trainer.rows)
    folder.write_bytes(out / folder.REPORT, picture)
    folder.write_json(out / folder.METRICS, found)
    (out / folder.STATE).unlink(missing_ok=True)
    return found


def metrics(trainer: Trainer) -> dict[str, Any]:
    """The figures of a finished run."""
    last = trainer.rows[-1]
    return {
        "model": trainer.config.model,
        "data": trainer.config.data,
        **{name: last[name] for name in FIGURES if name in last},
        "loss": last["train_loss"],
        "seconds": last["seconds"],
        (speed := f"{trainer.unit}_per_second"): round(harmonic_mean([row[speed] for row in trainer.rows]), 1),
        "parameters": sum(parameter.data.size for parameter in trainer.model.parameters()),
        "seed": trainer.config.seed,
        "epochs": trainer.epoch,
        "steps": trainer.step,
        **trainer.counts(),
        "backend": get_backend(),
        "isa": kernels.isa() if get_backend() == "c" else "numpy",
        "threads": kernels.get_num_threads(),
        "versions": versions(),
        "config": asdict(trainer.config),
    }


def versions() -> dict[str, str]:
    """Of minivision, Python and NumPy."""
    from .. import __version__

    return {"minivision": __version__, "python": platform.python_version(), "numpy": np.__version__}
