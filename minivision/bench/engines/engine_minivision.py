"""minivision's own way to do each workload, as a user would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minivision as mv
from minivision import functional as F
from minivision.generate import generate
from minivision.models.vit import VisionTransformer, ViTConfig

Work = Callable[[], Any]


def set_threads(count: int) -> None:
    """Threads of the kernels."""
    mv.set_num_threads(count)


def _random(*shape: int, dtype: str = "float32", gradient: bool = True) -> Any:
    return mv.Tensor(np.random.default_rng(0).standard_normal(shape).astype(dtype), requires_grad=gradient)


def _image(batch: int, channels: int, height: int, width: int) -> Any:
    """(N, C, H, W) as a layer before leaves it: channels last in memory."""
    values = np.random.default_rng(0).standard_normal((batch, height, width, channels), np.float32)
    return mv.Tensor(values.transpose(0, 3, 1, 2), requires_grad=True)


def timed(function: Callable[..., Any], inputs: list[Any], backward: bool) -> Work:
    """The function alone, or with the gradients of all inputs for a given cotangent."""
    if not backward:
        return mv.no_grad()(lambda: function(*inputs))
    y = function(*inputs)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    dy = dy.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) if dy.ndim == 4 and _is_image(y) else dy

    def work() -> None:
        for x in inputs:
            x.grad = None
        function(*inputs).backward(dy)

    return work


def _is_image(y: Any) -> bool:
    return y.data.transpose(0, 2, 3, 1).flags.c_contiguous


def gemm(m: int, n: int, k: int, stored: str, backward: bool, dtype: str) -> Work:
    a = _random(*((k, m) if stored == "aTb" else (m, k)), dtype=dtype, gradient=False)
    b = _random(*((n, k) if stored == "abT" else (k, n)), dtype=dtype, gradient=False)
    a, b = a.T if stored == "aTb" else a, b.T if stored == "abT" else b
    return lambda: a @ b


def conv(
    batch: int, channels: int, outputs: int, side: int, kernel: int, stride: int, groups: int, backward: bool, dtype: str
) -> Work:  # fmt: skip
    x, w = _image(batch, channels, side, side), _random(outputs, channels // groups, kernel, kernel)
    return timed(lambda x, w: F.conv2d(x, w, None, stride, (kernel - 1) // 2, 1, groups), [x, w], backward)


def attention(
    batch: int, heads: int, tokens: int, width: int, bias: bool, causal: bool, backward: bool, dtype: str
) -> Work:  # fmt: skip
    inputs = [_random(batch, heads, tokens, width) for _ in range(3)]
    inputs += [_random(1, heads, tokens, tokens)] if bias else []
    return timed(lambda q, k, v, b=None: F.scaled_dot_product_attention(q, k, v, b, is_causal=causal), inputs, backward)


def layer_norm(shape: list[int], backward: bool, dtype: str) -> Work:
    inputs = [_random(*shape), _random(shape[1]), _random(shape[1])]
    return timed(lambda x, w, b: F.layer_norm(x, (shape[1],), w, b), inputs, backward)


def _batch_norm(shape: list[int], backward: bool, residual: bool) -> Work:
    mean, var = np.zeros(shape[1], np.float32), np.ones(shape[1], np.float32)
    inputs = [_image(*shape), _random(shape[1]), _random(shape[1])] + ([_image(*shape)] if residual else [])

    def work(x: Any, w: Any, b: Any, r: Any = None) -> Any:
        return F.batch_norm(x, mean, var, w, b, training=True, residual=r, activation="relu")

    return timed(work, inputs, backward)


def batch_norm_relu(shape: list[int], backward: bool, dtype: str) -> Work:
    return _batch_norm(shape, backward, False)


def batch_norm_add_relu(shape: list[int], backward: bool, dtype: str) -> Work:
    return _batch_norm(shape, backward, True)


def _elementwise(function: Callable[[Any], Any]) -> Callable[..., Work]:
    return lambda shape, backward, dtype: timed(function, [_random(*shape)], backward)


gelu, gelu_tanh = _elementwise(F.gelu), _elementwise(lambda x: F.gelu(x, approximate="tanh"))
silu, hardswish = _elementwise(F.silu), _elementwise(lambda x: F.hardswish(x))
softmax = _elementwise(F.softmax)


def cross_entropy(shape: list[int], backward: bool, dtype: str) -> Work:
    labels = np.random.default_rng(0).integers(0, shape[1], shape[0])
    return timed(lambda x: F.cross_entropy(x, labels), [_random(*shape)], backward)


def max_pool2d(shape: list[int], kernel: int, stride: int, padding: int, backward: bool, dtype: str) -> Work:
    return timed(lambda x: F.max_pool2d(x, kernel, stride, padding), [_image(*shape)], backward)


def avg_pool2d(shape: list[int], kernel: int, stride: int, padding: int, backward: bool, dtype: str) -> Work:
    return timed(lambda x: F.avg_pool2d(x, kernel, stride, padding, count_include_pad=False), [_image(*shape)], backward)


def global_pool(shape: list[int], backward: bool, dtype: str) -> Work:
    return timed(lambda x: F.adaptive_avg_pool2d(x, 1), [_image(*shape)], backward)


def embedding(shape: list[int], rows: int, width: int, backward: bool, dtype: str) -> Work:
    numbers = np.random.default_rng(0).integers(0, rows, shape)
    return timed(lambda w: F.embedding(numbers, w), [_random(rows, width)], backward)


def _update(optimiser: Any, shapes: list[list[int]], **settings: Any) -> Work:
    params = [_random(*shape) for shape in shapes]
    for p in params:
        p.grad = _random(*p.shape, gradient=False)
    return optimiser(params, lr=1e-3, **settings).step


def adamw(shapes: list[list[int]], backward: bool, dtype: str) -> Work:
    return _update(mv.optim.AdamW, shapes)


def sgd(shapes: list[list[int]], backward: bool, dtype: str) -> Work:
    return _update(mv.optim.SGD, shapes, momentum=0.9)


def vit(
    width: int, depth: int, heads: int, patch: int, side: int, channels: int, classes: int, batch: int, backward: bool, dtype: str
) -> Work:  # fmt: skip
    model = VisionTransformer(ViTConfig(width, depth, heads, patch, side, channels, classes))
    return _whole(model, _random(batch, channels, side, side, gradient=False), np.arange(batch) % classes, backward)


def network(network: str, batch: int, backward: bool, dtype: str) -> Work:
    still: dict[str, Any] = {"drop_path_rate": 0.0} if hasattr(mv.models.entry(network).config, "drop_path_rate") else {}
    return _whole(mv.create_model(network, **still), _random(batch, 3, 224, 224, gradient=False), np.arange(batch), backward)


def text(config: dict[str, Any], batch: int, tokens: int, backward: bool, dtype: str) -> Work:
    model = mv.create_model("gpt2", **config)
    pieces = np.random.default_rng(0).integers(model.config.vocab_size, size=(batch, tokens + 1))
    optimiser = mv.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        model.loss(pieces).backward()
        optimiser.step()

    return step


def writing(config: dict[str, Any], prompt: int, count: int, backward: bool, dtype: str) -> Work:
    model, start = mv.create_model("gpt2", **config).eval(), np.arange(prompt)
    return lambda: list(generate(model, start, count, temperature=0.0))


def _whole(model: Any, images: Any, labels: Any, backward: bool) -> Work:
    """A training step with AdamW, or inference."""
    if not backward:
        return mv.no_grad()(lambda: model.eval()(images))
    optimiser = mv.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return step


def prepare(spec: dict[str, Any]) -> list[Work]:
    """The ways to do a workload: here one."""
    return [globals()[spec["kind"]](**spec["sizes"], backward=spec["backward"], dtype=spec["dtype"])]
