"""Pictures as texts: what is read, what it costs, what a layer gives; and a step of k-means, point by point."""

from __future__ import annotations

import numpy as np

from ...tape import Tensor
from ..drivers.igpt import small
from ..expect import expect
from ..proxy import Student

State = dict[str, np.ndarray]


def weights(rng: np.random.Generator) -> State:
    """Random weights of the small iGPT, norms about 1."""
    return {name: rng.normal(float("ln_" in name), 0.5, value.shape) for name, value in small().state_dict().items()}


def shifted(student: Student, rng: np.random.Generator) -> None:
    """The start in front and the last pixel gone, of arrays, bytes and Tensors; one picture and one pixel among them."""
    for shape, colours in [((2, 6), 4), ((1, 5), 16), ((3, 1), 4), ((2, 4), 512)]:
        pixels = rng.integers(min(colours, 256), size=shape)
        wanted = np.array([[colours, *row[:-1]] for row in pixels.tolist()])
        label = f"what is read for pixels {shape} in {colours} colours"
        expect(np.asarray(student.drive("igpt:start", colours, pixels), np.int64), wanted, label)
        expect(np.asarray(student.drive("igpt:start", colours, Tensor(pixels)), np.int64), wanted, f"{label}, a Tensor")
        got = student.drive("igpt:start", colours, pixels.astype(np.uint8))
        expect(np.asarray(got, np.int64), wanted, f"{label}, bytes")


def loss(student: Student, rng: np.random.Generator) -> None:
    """-log p of every pixel, each from a text that ends before it."""
    for batch, length in [(1, 6), (3, 4), (2, 1)]:
        w, pixels = weights(rng), rng.integers(4, size=(batch, length))
        model = small()
        model.load_state_dict(w)
        costs = []
        for row in pixels.tolist():
            for t, pixel in enumerate(row):
                logits = model(np.array([[4, *row[:t]]])).numpy()[0, -1]
                costs.append(-np.log(np.exp(logits[pixel]) / np.exp(logits).sum()))
        got = student.drive("igpt:model", w, pixels)
        expect(got, Tensor(np.float64(np.mean(costs))), f"the loss of pixels ({batch}, {length}), in nats per pixel")


def features(student: Student, rng: np.random.Generator) -> None:
    """The mean over all places of the normed hidden states, at each layer."""
    for batch, length in [(1, 6), (3, 4), (2, 1)]:
        w, pixels = weights(rng), rng.integers(4, size=(batch, length))
        model = small()
        model.load_state_dict(w)
        for layer in range(3):
            hidden = model.transformer.after(np.column_stack([np.full(batch, 4), pixels[:, :-1]]), layer).numpy()
            scale = w[f"transformer.h.{layer}.ln_1.weight" if layer < 2 else "transformer.ln_f.weight"]
            normed = hidden / np.sqrt((hidden**2).mean(-1, keepdims=True) + 1e-5) * scale
            wanted = sum(normed[:, t] for t in range(length)) / length
            label = f"the features of pixels ({batch}, {length}) at layer {layer} of 2"
            expect(student.drive("igpt:model", w, pixels, layer), Tensor(wanted), label)


def means(student: Student, rng: np.random.Generator) -> None:
    """Each label's points, written out as often as they are there; labels without points among them."""
    for count, k, empty in [(7, 3, ()), (9, 4, (1,)), (8, 5, (0, 3)), (2, 2, ())]:
        points, counts = rng.standard_normal((count, 3)), rng.integers(1, 5, count)
        used = np.setdiff1d(np.arange(k), empty)
        labels, distances = used[np.arange(count) % len(used)], rng.random(count)
        distances[:2] = distances.max() + 1  # equals
        wanted = np.zeros((k, 3))
        for label in used:
            wanted[label] = np.repeat(points[labels == label], counts[labels == label], axis=0).mean(0)
        far = sorted(zip(-distances, range(count), strict=True))
        for label, (_, i) in zip(empty, far, strict=False):  # there are more points than labels
            wanted[label] = points[i]
        told = f"{count} points, k = {k}" + (f", no point with label {', '.join(map(str, empty))}" if empty else "")
        expect(student(points, counts, labels, distances, k), wanted, f"the means of {told}")
