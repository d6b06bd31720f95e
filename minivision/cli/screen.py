"""What the commands share of rich: one console, tables without frames, and the two screens of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from .. import kernels
from ..backend import get_backend
from ..models import entry
from ..train import Trainer, Watcher


class Screen(Console):
    """Rich's console, but for a reader such as `head` that stops reading: that is no failure, and is left to main()."""

    def on_broken_pipe(self) -> None:
        """Called while the BrokenPipeError is being handled."""
        raise


def console() -> Screen:
    """Standard output: a moving bar on a terminal, with colours unless NO_COLOR is set; plain lines elsewhere."""
    return Screen(highlight=False, emoji=False)


def table(*columns: str, numbers: int = 0) -> Table:
    """An empty table without a frame; its last `numbers` columns are aligned to the right."""
    made = Table(box=None, pad_edge=False, show_header=any(columns), header_style="bold", padding=(0, 2, 0, 0))
    for i, name in enumerate(columns):
        right = i >= len(columns) - numbers
        made.add_column(name, justify="right" if right else "left", no_wrap=right or i == 0)
    return made


def brief(count: float) -> str:
    """Three figures and a unit: 5.72 M, 17.6 G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{count:g}"


class Lines(Watcher):
    """A run where output is no terminal: a line for each epoch."""

    def began(self, trainer: Trainer) -> None:
        """What is trained, on what, with what."""
        print(introduction(trainer), flush=True)

    def moved(self, earlier: Any) -> None:
        """Where an earlier run's files are now."""
        print(f"the earlier run was moved to {earlier}", flush=True)

    def tested(self, trainer: Trainer) -> None:
        """An epoch's figures."""
        row, last = trainer.rows[-1], trainer.config.epochs
        epoch = f"epoch {row['epoch']:{len(str(last))}}/{last}"
        found = f"loss {row['train_loss']:.4f}  " + after(row, row, "6.1%", ".4f")
        print(f"{epoch}  {found}  {row[f'{trainer.unit}_per_second']:,.0f} {trainer.unit}/s", flush=True)

    def stopping(self) -> None:
        """Written past Python's buffers: this runs inside a signal's handler."""
        os.write(sys.stderr.fileno(), b"\nfinishing this step, then saving (Ctrl-C again stops at once)\n")

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class Bar(Lines):
    """A run on a terminal: a bar with loss, accuracy and images per second."""

    def __init__(self, screen: Console) -> None:
        self.console = screen
        self.progress = Progress(
            BarColumn(None), Figures(Column(no_wrap=True)), TimeRemainingColumn(compact=True), console=screen, expand=True
        )
        self.task: Any = None

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def began(self, trainer: Trainer) -> None:
        """What is trained, and the bar where it stands."""
        self.console.print(introduction(trainer), soft_wrap=True)
        self.progress.start()
        total = trainer.config.epochs * trainer.batches_per_epoch
        self.task = self.progress.add_task("", total=total, completed=trainer.step, trainer=trainer)

    def stepped(self, trainer: Trainer) -> None:
        """The bar moves on; what stands beside it is made when the screen is next drawn."""
        self.progress.update(self.task, completed=trainer.step)

    def tested(self, trainer: Trainer) -> None:
        """The bar knows the row already."""


class Figures(ProgressColumn):
    """epoch, loss, accuracy on training and on unseen images, images per second: of this epoch, or of the last at its end."""

    def render(self, task: Task) -> Text:
        """One line of text."""
        trainer = task.fields["trainer"]
        tally, row, speed = trainer.tally, trainer.rows[-1] if trainer.rows else {}, f"{trainer.unit}_per_second"
        now = {**trainer.figures("train", tally), speed: tally.per_second} if tally.images or not row else row
        epoch = f"epoch {min(trainer.epoch + 1, trainer.config.epochs)}/{trainer.config.epochs}"
        found = f"loss {now['train_loss']:.3f}  " + after(now, row, ".1%", ".3f")
        return Text(f"{epoch}  {found}  {now[speed]:,.0f} {trainer.unit}/s", no_wrap=True)


def after(now: Mapping[str, Any], tested: Mapping[str, Any], share: str, number: str) -> str:
    """What stands behind the loss: accuracies, or the test's bits per byte or loss. tested: an epoch's row, or empty."""
    if "train_accuracy" in now:
        test = format(tested["test_accuracy"], share) if tested else "-"
        return f"train {now['train_accuracy']:{share}}  test {test}"
    if "bits_per_byte" in tested:
        return f"test {tested['bits_per_byte']:{number}} bits per byte"
    return f"test {tested['test_loss']:{number}}" if tested else "test -"


def introduction(trainer: Trainer) -> str:
    """One line: the model, the data, the machine; another where weights come from elsewhere."""
    size = sum(parameter.data.size for parameter in trainer.model.parameters())
    where = f"{kernels.isa()}, {kernels.get_num_threads()} threads" if get_backend() == "c" else "NumPy"
    begun = f", going on after step {trainer.step}" if trainer.step else ""
    train, test, *_ = trainer.counts().values()
    images = f"{train:,} training and {test:,} test {trainer.unit}"
    from_what = f"\nbegins with {trainer.begun}" if trainer.begun else ""
    return f"{entry(trainer.config.model).name}, {size:,} parameters, on {trainer.data.name}: {images}; {where}{begun}{from_what}"
