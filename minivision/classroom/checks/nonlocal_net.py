"""The non-local block's steps, each against loops over pairs of positions, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...models.nonlocal_net import AFFINITIES
from ...tape import Tensor
from ..drivers.nonlocal_net import small
from ..expect import expect
from ..proxy import Student

State = dict[str, np.ndarray]
READINGS: tuple[dict[str, Any], ...] = ({}, {"scale": False, "pool_first": False}, {"sub_sample": False})


def weights(rng: np.random.Generator, **options: Any) -> State:
    """Random weights of the small block; variances stay 1."""
    state = small(**options).state_dict()
    return {
        name: value if name.endswith(("running_var", "batches_tracked")) else rng.normal(0.0, 0.7, value.shape)
        for name, value in state.items()
    }


def rows(x: np.ndarray, w: State, *names: str) -> np.ndarray:
    """The map's positions as rows (B, N, C), through the 1 x 1 convolution of the first name that has weights."""
    for name in names:
        if f"{name}.weight" in w:
            x = np.einsum("bchw,oc->bohw", x, w[f"{name}.weight"][:, :, 0, 0]) + w[f"{name}.bias"][:, None, None]
    return x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)


def pooled(x: np.ndarray) -> np.ndarray:
    """The largest of every 2 x 2."""
    B, C, H, W = x.shape
    return x.reshape(B, C, H // 2, 2, W // 2, 2).max((3, 5))


def keys(x: np.ndarray, w: State, name: str, sub_sample: bool = True, pool_first: bool = True, **_: Any) -> np.ndarray:
    """What phi or g gives, (B, M, d)."""
    if not sub_sample:
        return rows(x, w, name)
    if pool_first:
        return rows(pooled(x), w, f"{name}.0")
    projected = rows(x, w, f"{name}.0").transpose(0, 2, 1).reshape(len(x), -1, *x.shape[2:])
    return rows(pooled(projected), w)


def by_pairs(theta: np.ndarray, phi: np.ndarray, w: State) -> np.ndarray:
    """Eq. 2-5 pair by pair, without exponentials: (B, N, M)."""
    found = np.zeros((len(theta), theta.shape[1], phi.shape[1]))
    line = w.get("concat_project.0.weight")
    for b, i, j in np.ndindex(found.shape):
        if line is None:
            found[b, i, j] = theta[b, i] @ phi[b, j]
        else:
            found[b, i, j] = max(0.0, line.reshape(-1) @ np.concatenate([theta[b, i], phi[b, j]]))
    return found


def shares(x: np.ndarray, w: State, affinity: str, scale: bool = True, **options: Any) -> np.ndarray:
    """f / C, (B, N, M)."""
    theta = rows(x, w, "theta")
    s = by_pairs(theta, keys(x, w, "phi", **options), w)
    if affinity in ("dot", "concatenation"):
        return s / s.shape[-1]
    f = np.exp(s / np.sqrt(theta.shape[-1]) if scale else s)
    return f / f.sum(-1, keepdims=True)


def told(x: np.ndarray, **options: Any) -> str:
    """What was asked for."""
    return f"x {x.shape}, " + ", ".join(f"{name}={value!r}" for name, value in options.items())


def scores(student: Student, rng: np.random.Generator) -> None:
    """Agreement of every pair, for more keys than queries and fewer, in all four forms."""
    for affinity in AFFINITIES:
        w = weights(rng, affinity=affinity)
        for queries, others in [(4, 1), (1, 3), (5, 7)]:
            theta, phi = rng.standard_normal((2, queries, 3)), rng.standard_normal((2, others, 3))
            got = student.drive("nonlocal_net:block", w, Tensor(theta), Tensor(phi), affinity=affinity)
            expect(got, Tensor(by_pairs(theta, phi, w)), f"the scores of theta {theta.shape}, phi {phi.shape}, {affinity!r}")


def share(student: Student, rng: np.random.Generator) -> None:
    """f / C for every form and reading."""
    for affinity in AFFINITIES:
        for reading in READINGS:
            options = {"affinity": affinity, **reading}
            w, x = weights(rng, **options), rng.standard_normal((2, 6, 4, 2))
            got = student.drive("nonlocal_net:block", w, Tensor(x), **options)
            expect(got, Tensor(shares(x, w, **options)), f"the weights for {told(x, **options)}")


def output(student: Student, rng: np.random.Generator) -> None:
    """W_z y for every reading, on maps that are not square."""
    for reading in READINGS:
        for shape in [(1, 6, 2, 2), (2, 6, 4, 2)]:
            w, x = weights(rng, **reading), rng.standard_normal(shape)
            y = shares(x, w, "embedded", **reading) @ keys(x, w, "g", **reading)
            y = y.transpose(0, 2, 1).reshape(shape[0], -1, *shape[2:])
            z = rows(y, w, "W.0").transpose(0, 2, 1).reshape(shape)
            norm = {name: w[f"W.1.{name}"][:, None, None] for name in ("weight", "bias", "running_mean", "running_var")}
            z = (z - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5) * norm["weight"] + norm["bias"]
            got = student.drive("nonlocal_net:block", w, Tensor(x), **reading)
            expect(got, Tensor(z), f"what is added to {told(x, **reading)}")
