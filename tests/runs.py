"""Small runs for the tests of training and of the command line."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np

from minivision import data
from minivision.train import Config, Trainer, Watcher

LINES = "".join(f"the {i}th line says that {i} plus {i} is {2 * i}.\n" for i in range(120))


def tiny_mnist(place: Path) -> str:
    """Sixty digits to train on and twenty to test, in MNIST's files: the spec that reads them."""
    digits = data.load("digits", 0)
    parts = {"train": (digits.train_pixels[:60], digits.train_labels), "t10k": (digits.test_pixels[:20], digits.test_labels)}
    for name, (pixels, labels) in parts.items():
        _write_idx(place / f"{name}-images-idx3-ubyte", pixels[:, 0] * 15)
        _write_idx(place / f"{name}-labels-idx1-ubyte", labels[: len(pixels)])
    return f"mnist:{place}"


def lines_of_text(place: Path) -> str:
    """120 lines of text in a file: the spec that reads it."""
    (place / "lines.txt").write_text(LINES, "utf-8")
    return f"text:{place / 'lines.txt'}"


def _write_idx(path: Path, array: np.ndarray) -> None:
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def small(spec: str, **changes: Any) -> Config:
    """Three epochs of four steps, with drop path so that the model draws random numbers too."""
    return Config("vit", **{"data": spec, "epochs": 3, "batch_size": 16, "drop_path": 0.3, "lr": 1e-3, **changes})


def stepped(trainer: Trainer, count: int) -> Trainer:
    """After `count` more steps."""
    last = trainer.step + count
    next(True for _ in trainer.steps() if trainer.step == last)
    return trainer


class Press(Watcher):
    """Presses Ctrl-C after a step, or after the test of the epoch that ends with it."""

    def __init__(self, step: int, after_test: bool = False) -> None:
        self.step, self.after_test = step, after_test

    def stepped(self, trainer: Trainer) -> None:
        """Called after each step."""
        if trainer.step == self.step and not self.after_test:
            signal.raise_signal(signal.SIGINT)

    def tested(self, trainer: Trainer) -> None:
        """Called after each epoch's test."""
        if trainer.step == self.step and self.after_test:
            signal.raise_signal(signal.SIGINT)
