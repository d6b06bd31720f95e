"""A run: the model, the optimiser, the place in the data, the figures so far; a step, an epoch, and all of it as a state."""

from __future__ import annotations

import functools
import math
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import data, random
from ..errors import DataError, TrainingError
from ..optim import AdamW, clip_grad_norm_
from ..recording import no_grad
from ..schedule import Scheduler, cosine
from ..tape import Tensor
from . import blame, task
from .build import build_model
from .config import Config


@dataclass
class Tally:
    """Sums over the images seen: losses, right answers, and the seconds it took."""

    images: int = 0
    loss: float = 0.0
    right: float = 0
    seconds: float = 0.0

    def add(self, logits: np.ndarray, labels: np.ndarray, loss: float) -> None:
        """logits (B, C), labels (B) or (B, C), the mean loss of the batch."""
        self.images += len(labels)
        self.loss += loss * len(labels)
        self.right += float(task.right(logits, labels).sum())

    @property
    def mean_loss(self) -> float:
        """Loss per image."""
        return self.loss / max(self.images, 1)

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.right / max(self.images, 1)

    @property
    def images_per_second(self) -> float:
        """Images a second."""
        return self.images / max(self.seconds, 1e-9)


class Trainer:
    """One run of a Config. `epoch` and `batch` say what comes next; `tally` holds this epoch's figures, `rows` those before."""

    def __init__(self, config: Config, dataset: data.Dataset | None = None) -> None:
        random.manual_seed(config.seed)
        self.config, self.data = config, dataset or data.load(config.data, config.seed)
        self.model = build_model(config.model, self.data, config.drop_path)
        self.batches_per_epoch = -(-len(self.data.train_labels) // config.batch_size)
        self.optimizer = AdamW(groups(self.model, config), lr=config.lr)
        steps = config.epochs * self.batches_per_epoch
        self.scheduler = Scheduler(self.optimizer, cosine(steps, int(config.warmup * steps)))
        self.epoch, self.batch, self.seconds = 0, 0, 0.0
        self.tally, self.rows = Tally(), []  # type: tuple[Tally, list[dict[str, Any]]]
        self.good = [(tensor, tensor.data.copy()) for tensor in (*self.model.parameters(), *self.model.buffers())]

    @property
    def step(self) -> int:
        """Steps done since the beginning."""
        return self.epoch * self.batches_per_epoch + self.batch

    def steps(self) -> Iterator[bool]:
        """Trains to the end. Pauses after each step (False) and each epoch's test (True), where the state may be saved."""
        while self.epoch < self.config.epochs:
            self.model.train()
            start = time.perf_counter()
            rng = np.random.default_rng([self.config.seed, self.epoch])
            for images, labels in data.batches(
                self.data, self.config.batch_size, rng, augment=self.config.augment, skip=self.batch
            ):
                self._step(images, labels)
                self._spent(time.perf_counter() - start)
                yield False
                start = time.perf_counter()
            self._end_epoch()
            yield True

    def _spent(self, seconds: float) -> None:
        self.tally.seconds += seconds
        self.seconds += seconds

    def _step(self, images: np.ndarray, labels: np.ndarray) -> None:
        drawn = random.generator().bit_generator.state
        self.optimizer.zero_grad()
        with np.errstate(all="ignore"):  # what is not finite is looked for here, and explained
            logits = self.model(Tensor(images))
            loss = task.loss(logits, labels, self.config.label_smoothing)
            value = loss.item()
            if math.isfinite(value):
                loss.backward()
            if not (math.isfinite(value) and math.isfinite(clip_grad_norm_(self.model.parameters(), self.config.clip))):
                raise TrainingError(self._explain(value, images, drawn))
            self._keep_good()
            self.optimizer.step()
        self.scheduler.step()
        self.batch += 1
        self.tally.add(logits.data, labels, value)

    def _keep_good(self) -> None:
        """The values that this step's loss was computed with: what is left if the next step's is NaN."""
        for tensor, copy in self.good:
            np.copyto(copy, tensor.data)

    def back_to_good(self) -> None:
        """Puts the model back to the last values that gave a finite loss and gradient."""
        for tensor, copy in self.good:
            np.copyto(tensor.data, copy)

    def _explain(self, loss: float, images: np.ndarray, drawn: Any) -> str:
        """Which step, and what was first not finite: the forward pass runs again with the same random numbers."""
        random.generator().bit_generator.state = drawn
        if math.isfinite(loss):
            what, where = f"the loss is {loss:.4g}, but its gradient is not finite", blame.gradient_fault(self.model)
        else:
            what, where = f"the loss is {loss}", blame.forward_fault(self.model, images)
        place = f"epoch {self.epoch + 1}, batch {self.batch + 1}"
        return f"training stopped at step {self.step + 1} ({place}): {what}\n  first not finite: {where}"

    def _end_epoch(self) -> None:
        start = time.perf_counter()
        test = evaluate(self.model, self.data, self.config)
        self.seconds += time.perf_counter() - start
        self.rows.append(
            {
                "epoch": self.epoch + 1, "step": self.step, "lr": self.scheduler.get_last_lr()[0],
                "train_loss": self.tally.mean_loss, "train_accuracy": self.tally.accuracy,
                "test_loss": test.mean_loss, "test_accuracy": test.accuracy,
                "images_per_second": round(self.tally.images_per_second, 1), "seconds": round(self.seconds, 3),
            }
        )  # fmt: skip
        self.epoch, self.batch, self.tally = self.epoch + 1, 0, Tally()

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that `restore` needs to go on with the same bits: arrays, and what JSON can hold."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}
        arrays = {f"{part}.{name}": array for part, owner in parts.items() for name, array in owner.state_dict().items()}
        drawn = random.generator().bit_generator.state
        place = {
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "rows": self.rows,
            "data": fingerprint(self.data),
        }
        return arrays, {"config": asdict(self.config), "random": drawn, "tally": asdict(self.tally), **place}

    def restore(self, arrays: Mapping[str, np.ndarray], more: Mapping[str, Any]) -> None:
        """Takes what `state` gave; DataError where the data is not what it was then."""
        if more["data"] != fingerprint(self.data):
            raise DataError(
                f"{self.config.data} has changed since this run began, so it cannot end as it would have; start it again"
            )
        for part, owner in {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}.items():
            owner.load_state_dict({n.removeprefix(f"{part}."): array for n, array in arrays.items() if n.startswith(f"{part}.")})
        self.epoch, self.batch, self.seconds, self.rows = (more[key] for key in ("epoch", "batch", "seconds", "rows"))
        self.tally = Tally(**more["tally"])
        random.generator().bit_generator.state = more["random"]
        self._keep_good()


def fingerprint(dataset: data.Dataset) -> int:
    """A checksum of all images and labels."""
    parts = (dataset.train_pixels, dataset.train_labels, dataset.test_pixels, dataset.test_labels)
    return functools.reduce(lambda crc, part: zlib.crc32(np.ascontiguousarray(part).data, crc), parts, 0)


def groups(model: Any, config: Config) -> list[dict[str, Any]]:
    """Matrices and filters decay; biases and norms do not; nor do the tables, which learn faster.

    Tables: the class and distillation tokens and the position embeddings. They begin near 0, beside patches that begin near 1.
    """
    kinds: dict[str, list[Any]] = {"matrices": [], "vectors": [], "tables": []}
    for name, parameter in model.named_parameters():
        table = name.rpartition(".")[2] in ("cls_token", "dist_token", "pos_embed")
        kinds["tables" if table else "matrices" if parameter.ndim >= 2 else "vectors"].append(parameter)
    settings = {
        "matrices": {"weight_decay": config.weight_decay},
        "vectors": {"weight_decay": 0.0},
        "tables": {"weight_decay": 0.0, "lr": config.lr * config.table_lr},
    }
    return [{"params": params, **settings[kind]} for kind, params in kinds.items() if params]


@no_grad()
def predict(model: Any, images: Any, batch_size: int) -> np.ndarray:
    """Logits (N, C) of images (N, C, H, W), in evaluation mode."""
    model.eval()
    return np.concatenate([model(Tensor(images[i : i + batch_size])).data for i in range(0, len(images), batch_size)])


def evaluate(model: Any, dataset: data.Dataset, config: Config) -> Tally:
    """The loss, with the label smoothing of training, and the accuracy on the test images."""
    logits, tally = predict(model, dataset.test_images, config.batch_size), Tally()
    tally.add(logits, dataset.test_labels, float(task.loss(logits, dataset.test_labels, config.label_smoothing)))
    return tally
