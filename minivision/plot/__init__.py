"""report.png: what a run did and what its model learned, each panel with a sentence that says what to see."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..data import Dataset
from ..metrics import confusion_matrix, precision_recall
from ..tape import Tensor
from ..train.pretrain import reconstructions
from ..train.task import verdict
from . import creations, panels
from .page import Panel, compose, png
from .pictures import on_paper

SHOWN = 10  # images in the panel of attention

__all__ = ["pretraining_report", "report", "text_report"]


def report(model: Any, dataset: Dataset, logits: np.ndarray, rows: panels.Rows, metrics: Mapping[str, Any]) -> bytes:
    """A run as a PNG; panels that a model has nothing for (attention, positions, patches) are left out.

    logits (N, classes) of the test images, rows: the figures of the epochs, metrics: those of the run.
    """
    floor = _floor(metrics, len(dataset.classes) if dataset.test_labels.ndim == 1 else 2)
    loss = panels.curves(rows, "loss", "Loss", f"How far the answers are from the truth{floor}.")
    moved = " Training images are moved about, and so are harder." if metrics["config"]["augment"] else ""
    share = panels.curves(rows, "accuracy", "Accuracy", f"The share of right answers.{moved}", percent=True)
    wrong = panels.mistakes(partial(_pictures, dataset), dataset.test_labels, logits, dataset.classes)
    learnt = [_attention(model, dataset), _positions(model)]
    if not any(learnt):
        learnt = [_answers(dataset, logits)]
    return png(compose(*_heading(dataset, metrics), [[loss, share], learnt, [wrong, _filters(model)]]))


def pretraining_report(model: Any, dataset: Dataset, rows: panels.Rows, metrics: Mapping[str, Any]) -> bytes:
    """A run of pre-training as a PNG: the loss, what the model paints where it saw nothing, and what it learned."""
    blur = " Training images are moved about, which blurs them: theirs is lower." if metrics["config"]["augment"] else ""
    loss = panels.curves(rows, "loss", "Loss", f"How far what is painted is from what was hidden, in standardised pixels.{blur}")
    numbers = np.linspace(0, len(dataset.test_labels) - 1, min(SHOWN, len(dataset.test_labels))).astype(int)
    parts = reconstructions(model, dataset, numbers)  # (3, N, C, H, W)
    share = np.isnan(parts[1]).mean()
    pictures = np.stack([_paper(dataset, part) for part in parts])
    sentence = f"Some unseen images, what the model sees of them, and what it makes of that: {share:.0%} is hidden."
    shown = creations.painted(pictures, ["image", "seen", "painted"], sentence)
    return png(compose(*_heading(dataset, metrics), [[shown], [loss, _filters(getattr(model, "encoder", model))]]))


def text_report(rows: panels.Rows, metrics: Mapping[str, Any]) -> bytes:
    """A run of a language model as a PNG: the loss, and what the model writes."""
    loss = panels.curves(rows, "loss", "Loss", "Nats per token; a token is a byte or several, as the vocabulary has them.")
    shown = creations.written(metrics["samples"], "What the finished model writes after an empty line, each time another way.")
    costs = [
        f"{metrics['parameters']:,} parameters",
        f"{metrics['train_tokens']:,} training tokens, {metrics['epochs']} epochs in {metrics['seconds']:.0f} s",
        f"{metrics['tokens_per_second']:,.0f} tokens/s, {metrics['isa']}, threads: {metrics['threads']}",
    ]
    return png(
        compose(f"{metrics['model']} on {metrics['data']}: {verdict(metrics)}", "   ·   ".join(costs), [[loss, None], [shown]])
    )


def _heading(dataset: Dataset, metrics: Mapping[str, Any]) -> tuple[str, str]:
    """The figure that counts, and what it cost."""
    costs = [
        f"{metrics['parameters']:,} parameters",
        f"{metrics['train_images']:,} training images, {metrics['epochs']} epochs in {metrics['seconds']:.0f} s",
        f"{metrics['images_per_second']:,.0f} images/s, {metrics['isa']}, threads: {metrics['threads']}",
    ]
    return f"{metrics['model']} on {dataset.name}: {verdict(metrics)}", "   ·   ".join(costs)


def _floor(metrics: Mapping[str, Any], classes: int) -> str:
    """What the loss cannot fall below: the entropy of targets that are smoothed."""
    a = metrics["config"]["label_smoothing"]
    target = np.array([1.0 - a + a / classes, *[a / classes] * (classes - 1)])
    return f"; smoothed targets keep it above {-np.sum(target * np.log(target)):.2f}" if a else ""


def _pictures(dataset: Dataset, numbers: np.ndarray) -> np.ndarray:
    """Some test images to be shown, RGB (n, H, W, 3) from 0 to 1."""
    return _paper(dataset, dataset.test_images[numbers])


def _paper(dataset: Dataset, images: np.ndarray) -> np.ndarray:
    """Standardised images (n, C, H, W) to be shown: RGB (n, H, W, 3) from 0 to 1."""
    return on_paper(dataset.pictures(images), dark=float(dataset.mean.mean()) < 0.5)


def _attention(model: Any, dataset: Dataset) -> Panel | None:
    """The class token's attention in the last block, on the first unseen image of each class, up to SHOWN."""
    grid = _grid(model)
    if grid is None or not hasattr(model, "attention_maps"):
        return None
    several = dataset.test_labels.ndim == 2
    firsts = np.arange(SHOWN) if several else np.unique(dataset.test_labels, return_index=True)[1][:SHOWN]
    maps = model.attention_maps(Tensor(dataset.test_images[firsts]))[-1]  # (N, heads, 1 + hw, 1 + hw)
    return panels.attention(_pictures(dataset, firsts), maps[:, :, 0, 1:].reshape(*maps.shape[:2], *grid))


def _answers(dataset: Dataset, logits: np.ndarray) -> Panel:
    """Which classes are taken for which; of many labels, precision over recall for each class."""
    if dataset.test_labels.ndim == 1:
        return panels.confusion(confusion_matrix(logits.argmax(-1), dataset.test_labels, len(dataset.classes)), dataset.classes)
    curves = {
        name: precision_recall(logits[:, c], dataset.test_labels[:, c])
        for c, name in enumerate(dataset.classes)
        if dataset.test_labels[:, c].any()
    }
    return panels.precision_recall(curves)


def _grid(model: Any) -> tuple[int, int] | None:
    """(h, w) of the patches, where the model has a class token and a table of positions for both."""
    table, grid = getattr(model, "pos_embed", None), getattr(getattr(model, "config", None), "grid", None)
    return grid if table is not None and grid and table.shape[1] == 1 + grid[0] * grid[1] else None


def _positions(model: Any) -> Panel | None:
    grid = _grid(model)
    return None if grid is None or min(grid) < 2 else panels.positions(model.pos_embed.data[0, 1:].reshape(*grid, -1))


def _filters(model: Any) -> Panel | None:
    embedding = getattr(model, "patch_embed", None)
    return None if embedding is None else panels.filters(embedding.proj.weight.data)
