"""How good are frozen features? A linear probe on all labels, and few-shot evaluation: one least-squares solve on some.

Sources: Dosovitskiy et al. 2021 (arXiv 2010.11929, section 4.1) for few-shot evaluation, He et al. 2022 (arXiv 2111.06377) for
probing masked autoencoders. Features are standardised by those that have labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import functional as F
from . import nn, optim, schedule
from .data.dataset import few_of_each, stratified_split
from .recording import no_grad
from .tape import Tensor

__all__ = ["curve", "features", "few_shot", "linear_probe", "ridge", "standardised"]

PENALTIES = np.logspace(-3, 5, 33)  # of the least squares
DECAYS = (0.0, 1e-3, 1e-2, 1e-1)  # of the linear probe
STEPS, RATE = 200, 0.1  # of the linear probe: AdamW on all images at once, the rate falling along a cosine


@no_grad()
def features(model: Any, images: Any, batch_size: int = 256) -> np.ndarray:
    """What the last linear layer of a classifier is given, for images (N, C, H, W) -> float64 (N, D).

    TypeError for a model that has no linear layer with config.num_classes outputs.
    """
    classes = getattr(model.config, "num_classes", None)
    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and m.weight.shape[0] == classes]
    if not heads:
        raise TypeError(f"{type(model).__name__} has no linear layer of {classes} classes whose inputs could be its features")
    found: list[np.ndarray] = []
    handle = heads[-1].register_forward_hook(lambda module, inputs, output: found.append(inputs[0].numpy().astype(np.float64)))
    try:
        model.eval()
        for start in range(0, len(images), batch_size):
            model(Tensor(images[start : start + batch_size]))
    finally:
        handle.remove()
    return np.concatenate(found)


def standardised(known: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """known (N, D) and others (M, D), less the mean of `known`, over its deviation; what does not vary in it becomes 0."""
    mean, deviation = known.mean(0), known.std(0)
    scale = np.where(deviation > 1e-6 * (np.abs(mean) + 1e-30), deviation, np.inf)
    return [(each - mean) / scale for each in (known, *others)]


def ridge(x: np.ndarray, y: np.ndarray, penalties: np.ndarray = PENALTIES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares with a squared penalty, for L penalties by one decomposition: W, b and the left-out predictions.

    minimises |x W + b - y|^2 + penalty |W|^2, b free;  x (N, D), y (N, K) -> W (L, D, K), b (L, K), (L, N, K).

    With x - mean(x) = U S V^T: W = V S / (S^2 + penalty) U^T y. What row i would be predicted without it is
    y_i + (x_i W + b - y_i) / (1 - h_i), where h_i = sum_k U_ik^2 S_k^2 / (S_k^2 + penalty) + 1 / N.
    """
    centre, mean = x.mean(0), y.mean(0)
    u, s, vt = np.linalg.svd(x - centre, full_matrices=False)
    kept = s**2 / (s**2 + penalties[:, None])  # (L, R): how much of each direction stays
    inverse = np.divide(kept, s, out=np.zeros_like(kept), where=s > 1e-12 * s.max(initial=1e-30))
    turned = u.T @ (y - mean)  # (R, K)
    w = vt.T @ (inverse[:, :, None] * turned)  # (L, D, K)
    fitted = mean + u @ (kept[:, :, None] * turned)  # (L, N, K)
    h = kept @ (u**2).T + 1 / len(x)  # (L, N)
    left_out = y + (fitted - y) / np.maximum(1 - h, 1e-9)[:, :, None]
    return w, mean - centre @ w, left_out


def few_shot(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Answers to `asked` (M, D) by ridge regression to targets -1 and 1 on features (N, D) with labels (N) -> (M) labels.

    The penalty is the one whose left-out predictions of the labelled images have the smallest squared error.
    """
    classes = np.unique(labels)
    known, asked = standardised(known, asked)
    targets = np.where(labels[:, None] == classes, 1.0, -1.0)
    w, b, left_out = ridge(known, targets)
    best = ((left_out - targets) ** 2).mean((1, 2)).argmin()
    return classes[(asked @ w[best] + b[best]).argmax(-1)]


def linear_probe(known: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int = 0) -> np.ndarray:
    """Answers to `asked` (M, D) by softmax regression on features (N, D) with labels (N) -> (M) labels.

    The weight decay is chosen on a fifth of the labelled images; ties go to the larger. The seed draws that fifth.
    """
    learn, held_out = stratified_split(labels, seed)
    if not (len(learn) and len(held_out)):
        raise ValueError(f"a linear probe needs two images of some class, got labels {labels.tolist()}")

    def held(decay: float) -> float:
        answers = _regression(known[learn], labels[learn], known[held_out], decay)
        return float(np.mean(answers == labels[held_out]))

    decay = max(DECAYS[::-1], key=held)
    return _regression(known, labels, asked, decay)


def _regression(known: np.ndarray, labels: np.ndarray, asked: np.ndarray, decay: float) -> np.ndarray:
    """Softmax regression from zero weights, with decay / 2 |W|^2 in the loss -> (M) labels."""
    classes, targets = np.unique(labels, return_inverse=True)
    known, asked = standardised(known, asked)
    x, w, b = Tensor(known), Tensor(np.zeros((known.shape[1], len(classes)))), Tensor(np.zeros(len(classes)))
    parameters = [w.requires_grad_(), b.requires_grad_()]
    optimizer = optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    scheduler = schedule.Scheduler(optimizer, schedule.cosine(STEPS))
    for _ in range(STEPS):
        optimizer.zero_grad()
        (F.cross_entropy(x @ w + b, targets) + 0.5 * decay * (w * w).sum()).backward()
        optimizer.step()
        scheduler.step()
    return classes[(asked @ w.numpy() + b.numpy()).argmax(-1)]


def curve(
    known: np.ndarray, labels: np.ndarray, asked: np.ndarray, answers: np.ndarray, counts: Sequence[int], draws: int, seed: int
) -> np.ndarray:
    """Shares of right answers (len(counts), draws): few_shot with so many images of each class, drawn anew for each draw."""
    chosen = [[few_of_each(labels, count, seed + draw) for draw in range(draws)] for count in counts]
    return np.array([[np.mean(few_shot(known[c], labels[c], asked) == answers) for c in row] for row in chosen])
