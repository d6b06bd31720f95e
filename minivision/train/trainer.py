"""A run: the model, the optimiser, the place in the data, the figures so far; a step, an epoch, and all of it as a state."""

from __future__ import annotations

import functools
import math
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np

from .. import data, random
from ..errors import DataError, TrainingError
from ..optim import AdamW, clip_grad_norm_
from ..recording import no_grad
from ..schedule import Scheduler, cosine
from ..tape import Tensor
from . import blame, initial, task
from .build import build_model, check_classifier
from .config import Config, RunConfig
from .tally import Tally


class Trainer:
    """One run of a Config. `epoch` and `batch` say what comes next; `tally` holds this epoch's figures, `rows` those before.

    dataset, model: in place of those that the configuration names. resumed: the state of an earlier run will be restored, so that
    weights to begin with are not read. What is asked about an image is in the methods down to `results`, which
    pretrain.Pretrainer has of its own.
    """

    unit: ClassVar[str] = "images"

    def __init__(self, config: Any, dataset: data.Dataset | None = None, resumed: bool = False, model: Any | None = None) -> None:
        random.manual_seed(config.seed)
        self.config = config
        if model is None:
            self.check()
        self.data = dataset or self.load()
        self.begun = ""  # in words, what the weights began with
        self.model = model or self.build(resumed)
        self.batches_per_epoch = -(-self.sizes()[0] // config.batch_size)
        self.optimizer = AdamW(groups(self.model, config), lr=config.lr, betas=(0.9, config.beta2))
        steps = config.epochs * self.batches_per_epoch
        self.scheduler = Scheduler(self.optimizer, cosine(steps, int(config.warmup * steps)))
        self.epoch, self.batch, self.seconds = 0, 0, 0.0
        self.tally, self.rows = Tally(), []  # type: tuple[Tally, list[dict[str, Any]]]
        self.good = [(tensor, tensor.data.copy()) for tensor in (*self.model.parameters(), *self.model.buffers())]

    def check(self) -> None:
        """SettingError where the configuration's model is not of the kind that is trained here."""
        check_classifier(self.config.model)

    def load(self) -> Any:
        """The data that the configuration names."""
        return data.load(self.config.data, self.config.seed)

    def sizes(self) -> tuple[int, int]:
        """How many images there are for training and for the test."""
        return len(self.data.train_labels), len(self.data.test_labels)

    def counts(self) -> dict[str, int]:
        """The same under the names that they have among a run's metrics."""
        return dict(zip(("train_images", "test_images"), self.sizes(), strict=True))

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What is left of this epoch's images and labels."""
        return data.batches(self.data, self.config.batch_size, rng, augment=self.config.augment, skip=self.batch)

    def amount(self, images: np.ndarray) -> int:
        """How many of its unit a batch has."""
        return len(images)

    def build(self, resumed: bool) -> Any:
        """The model, and the few labels that the configuration asks for."""
        if self.config.labels:
            self.data = self.data.few(self.config.labels, self.config.seed)
        more = {"global_pool": self.config.pool} if self.config.pool else {}
        model = build_model(self.config.model, self.data, self.config.drop_path, **more)
        if self.config.init and not resumed:
            self.begun = initial.begin_from(model, self.config.init)
        return model

    def answer(self, images: np.ndarray, labels: np.ndarray) -> tuple[Any, float]:
        """The mean loss of a batch, with its graph, and how many answers are right."""
        logits = self.model(Tensor(images))
        return task.loss(logits, labels, self.config.label_smoothing), float(task.right(logits.data, labels).sum())

    def test(self) -> Tally:
        """The loss, with the label smoothing of training, and the accuracy on the test images."""
        return evaluate(self.model, self.data, self.config)

    def figures(self, part: str, tally: Tally) -> dict[str, float]:
        """What a row has of the training or of the test part."""
        return {f"{part}_loss": tally.mean_loss, f"{part}_accuracy": tally.accuracy}

    def results(self, found: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The figures of a finished run with those that are computed at its end, and its picture."""
        from ..plot import report

        logits = predict(self.model, self.data.test_images, self.config.batch_size)
        found = found | task.figures(logits, self.data.test_labels)
        return found, report(self.model, self.data, logits, self.rows, found)

    def more_files(self) -> dict[str, str]:
        """What else a finished run leaves: {file: text}."""
        return {}

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
            for images, labels in self.batches(rng):
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
            loss, right = self.answer(images, labels)
            value = loss.item()
            if math.isfinite(value):
                loss.backward()
            if not (math.isfinite(value) and math.isfinite(clip_grad_norm_(self.model.parameters(), self.config.clip))):
                raise TrainingError(self._explain(value, images, drawn))
            self._keep_good()
            self.optimizer.step()
        self.scheduler.step()
        self.batch += 1
        self.tally.add(self.amount(images), value, right)

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
        test = self.test()
        self.seconds += time.perf_counter() - start
        self.rows.append(
            {
                "epoch": self.epoch + 1, "step": self.step, "lr": self.scheduler.get_last_lr()[0],
                **self.figures("train", self.tally), **self.figures("test", test),
                f"{self.unit}_per_second": round(self.tally.per_second, 1), "seconds": round(self.seconds, 3),
            }
        )  # fmt: skip
        self.epoch, self.batch, self.tally = self.epoch + 1, 0, Tally()

    def fingerprint(self) -> int:
        """A checksum of all images and labels."""
        parts = (self.data.train_pixels, self.data.train_labels, self.data.test_pixels, self.data.test_labels)
        return checksum(*parts)

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
            "data": self.fingerprint(),
        }
        return arrays, {"config": asdict(self.config), "random": drawn, "tally": asdict(self.tally), **place}

    def restore(self, arrays: Mapping[str, np.ndarray], more: Mapping[str, Any]) -> None:
        """Takes what `state` gave; DataError where the data is not what it was then."""
        if more["data"] != self.fingerprint():
            raise DataError(
                f"{self.config.data} has changed since this run began, so it cannot end as it would have; start it again"
            )
        for part, owner in {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}.items():
            owner.load_state_dict({n.removeprefix(f"{part}."): array for n, array in arrays.items() if n.startswith(f"{part}.")})
        self.epoch, self.batch, self.seconds, self.rows = (more[key] for key in ("epoch", "batch", "seconds", "rows"))
        self.tally = Tally(**more["tally"])
        random.generator().bit_generator.state = more["random"]
        self._keep_good()


def checksum(*arrays: np.ndarray) -> int:
    """Of the bytes of some arrays, one after the other."""
    return functools.reduce(lambda crc, part: zlib.crc32(np.ascontiguousarray(part).data, crc), arrays, 0)


def groups(model: Any, config: RunConfig) -> list[dict[str, Any]]:
    """Matrices and filters decay; biases and norms do not; nor do the tables, which learn faster.

    Tables: the class, distillation and mask tokens and the position embeddings. They begin near 0, beside patches near 1.
    """
    kinds: dict[str, list[Any]] = {"matrices": [], "vectors": [], "tables": []}
    for name, parameter in model.named_parameters():
        table = name.rpartition(".")[2] in ("cls_token", "dist_token", "mask_token", "pos_embed")
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
    """Loss and accuracy of all test images."""
    logits, tally = predict(model, dataset.test_images, config.batch_size), Tally()
    loss = float(task.loss(logits, dataset.test_labels, config.label_smoothing))
    tally.add(len(logits), loss, float(task.right(logits, dataset.test_labels).sum()))
    return tally
