"""Mixer's and MetaFormer's steps, each against the same in plain NumPy on random weights, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tape import Tensor
from ..drivers.mixers import MODULES
from ..expect import expect
from ..proxy import Student
from .vit import layer_norm, mlp

State = dict[str, np.ndarray]


def weights(rng: np.random.Generator, name: str, *options: Any) -> State:
    """Random weights of a module of the driver's."""
    return {key: rng.normal(0.3, 0.5, array.shape) for key, array in MODULES[name](*options).state_dict().items()}


def mixed(x: np.ndarray, w: State) -> np.ndarray:
    """The first MLP, column by column: (B, S, C) -> the same."""
    columns = [mlp(x[:, :, c], w, "mlp_tokens") for c in range(x.shape[2])]
    return np.stack(columns, axis=2)


def mixer_tokens(student: Student, rng: np.random.Generator) -> None:
    """Each column through the first MLP alone."""
    for batch in (1, 3):
        w, x = weights(rng, "mixer"), rng.standard_normal((batch, 4, 6))
        expect(student.drive("mixers:module", "mixer", w, Tensor(x)), Tensor(mixed(x, w)), f"the mixed tokens of x {x.shape}")


def mixer_block(student: Student, rng: np.random.Generator) -> None:
    """Both mixings in their order; and the input where both branches are left out."""
    for batch in (1, 3):
        w, x = weights(rng, "mixer"), rng.standard_normal((batch, 4, 6))
        u = x + mixed(layer_norm(x, w, "norm1"), w)
        y = u + mlp(layer_norm(u, w, "norm2"), w, "mlp_channels")
        expect(student.drive("mixers:module", "mixer", w, Tensor(x)), Tensor(y), f"Y for X of shape {x.shape}")
    got = student.drive("mixers:dropped", "mixer", Tensor(x))
    expect(got, Tensor(x), "Y where drop_path always leaves both branches out, which is X")


def around(x: np.ndarray, kernel: int) -> np.ndarray:
    """The mean of the window's places inside the map, less the place: by loops."""
    reach, y = kernel // 2, np.empty_like(x)
    for i, j in np.ndindex(x.shape[2:]):
        window = x[:, :, max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]
        y[:, :, i, j] = window.mean((2, 3)) - x[:, :, i, j]
    return y


def pooling(student: Student, rng: np.random.Generator) -> None:
    """The mean of what is inside, less the place; maps of one place and smaller than the window among them."""
    for shape, kernel in [((1, 1, 4, 4), 3), ((2, 3, 5, 7), 5), ((1, 2, 1, 1), 3), ((1, 1, 2, 3), 7), ((1, 2, 3, 3), 1)]:
        x = rng.standard_normal(shape)
        got = student.drive("mixers:pooling", kernel, Tensor(x))
        expect(got, Tensor(around(x, kernel)), f"pooled x {shape} with a window of {kernel} x {kernel}")
    x = np.full((1, 1, 4, 4), 3.5)
    expect(student.drive("mixers:pooling", 3, Tensor(x)), Tensor(0 * x), "a map of 3.5 everywhere, pooled in 3 x 3: 0 everywhere")


def group_norm(x: np.ndarray, w: State, name: str) -> np.ndarray:
    """Over channels and places at once, then a scale and a shift of each channel."""
    centred = x - x.mean((1, 2, 3), keepdims=True)
    normed = centred / np.sqrt((centred**2).mean((1, 2, 3), keepdims=True) + 1e-5)
    return normed * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]


def metaformer_block(student: Student, rng: np.random.Generator) -> None:
    """Two branches in the frame, with two mixers; and the input where both branches are left out."""
    for mixer in ("pooling", "spatial_fc"):
        w, x = weights(rng, "metaformer", mixer), rng.standard_normal((2, 4, 3, 2))
        normed = group_norm(x, w, "norm1")
        tokens = around(normed, 3) if mixer == "pooling" else normed.reshape(2, 4, 6) @ w["token_mixer.fc.weight"].T
        y = x + w["layer_scale1.scale"][:, None, None] * tokens.reshape(x.shape)
        flat = {key: value[:, :, 0, 0] if value.ndim == 4 else value for key, value in w.items()}  # 1x1 convolutions
        channels = mlp(np.moveaxis(group_norm(y, w, "norm2"), 1, -1), flat, "mlp")
        z = y + w["layer_scale2.scale"][:, None, None] * np.moveaxis(channels, -1, 1)
        got = student.drive("mixers:module", "metaformer", w, Tensor(x), mixer)
        expect(got, Tensor(z), f"Z for X of shape {x.shape} with the token mixer {mixer!r}")
    got = student.drive("mixers:dropped", "metaformer", Tensor(x), "pooling")
    expect(got, Tensor(x), "Z where drop_path always leaves both branches out, which is X")


def metaformer_head(student: Student, rng: np.random.Generator) -> None:
    """Pooling then norm, or norm then pooling; and dropout before the classifier."""
    for order in ("timm", "official"):
        for shape in [(2, 4, 3, 2), (1, 4, 1, 1)]:
            w, x = weights(rng, "head", order), rng.standard_normal(shape)
            features = layer_norm(x.mean((2, 3)), w, "norm") if order == "timm" else group_norm(x, w, "norm").mean((2, 3))
            got = student.drive("mixers:module", "head", w, Tensor(x), order)
            label = f"the logits of a map {shape} where pools_first is {order == 'timm'}"
            expect(got, Tensor(features @ w["fc.weight"].T + w["fc.bias"]), label)
        told = f"the logits where dropout takes everything (pools_first is {order == 'timm'}): the classifier's bias"
        expect(student.drive("mixers:dropped", "head", Tensor(x), order), Tensor(np.array([[0.0, 1.0, 2.0]])), told)
