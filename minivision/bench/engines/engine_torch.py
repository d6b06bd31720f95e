"""PyTorch's ways to do each workload, as a PyTorch user would write it: both memory layouts, fused and plain attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Work = Callable[[], Any]
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def set_threads(count: int) -> None:
    """Threads of one operation."""
    torch.set_num_threads(count)


def _random(*shape: int, dtype: str = "float32", gradient: bool = True, layout: Any = torch.contiguous_format) -> Any:
    return torch.randn(*shape, dtype=getattr(torch, dtype)).to(memory_format=layout).requires_grad_(gradient)


def timed(function: Callable[..., Any], inputs: list[Any], backward: bool) -> Work:
    """The function alone, or with the gradients of all inputs for a given cotangent."""
    if not backward:
        return torch.no_grad()(lambda: function(*inputs))
    dy = torch.randn_like(function(*inputs))

    def work() -> None:
        for x in inputs:
            x.grad = None
        function(*inputs).backward(dy)

    return work


def gemm(m: int, n: int, k: int, stored: str, backward: bool, dtype: str) -> list[Work]:
    a = _random(*((k, m) if stored == "aTb" else (m, k)), dtype=dtype, gradient=False)
    b = _random(*((n, k) if stored == "abT" else (k, n)), dtype=dtype, gradient=False)
    a, b = a.T if stored == "aTb" else a, b.T if stored == "abT" else b
    return [lambda: a @ b]


def conv(
    batch: int, channels: int, outputs: int, side: int, kernel: int, stride: int, groups: int, backward: bool, dtype: str
) -> list[Work]:  # fmt: skip
    def way(layout: Any) -> Work:
        x = _random(batch, channels, side, side, layout=layout)
        w = _random(outputs, channels // groups, kernel, kernel, layout=layout)
        return timed(lambda x, w: F.conv2d(x, w, None, stride, (kernel - 1) // 2, 1, groups), [x, w], backward)

    return [way(layout) for layout in LAYOUTS]


def attention(
    batch: int, heads: int, tokens: int, width: int, bias: bool, causal: bool, backward: bool, dtype: str
) -> list[Work]:  # fmt: skip
    inputs = [_random(batch, heads, tokens, width) for _ in range(3)]
    inputs += [_random(1, heads, tokens, tokens)] if bias else []
    future = torch.full((tokens, tokens), -math.inf).triu(1)

    def plain(q: Any, k: Any, v: Any, b: Any = None) -> Any:
        scores = (q / math.sqrt(width)) @ k.transpose(-2, -1)
        scores = scores if b is None else scores + b
        return (scores + future if causal else scores).softmax(-1) @ v

    def fused(q: Any, k: Any, v: Any, b: Any = None) -> Any:
        return F.scaled_dot_product_attention(q, k, v, b, is_causal=causal)

    return [timed(fused, inputs, backward), timed(plain, inputs, backward)]


def layer_norm(shape: list[int], backward: bool, dtype: str) -> list[Work]:
    inputs = [_random(*shape), _random(shape[1]), _random(shape[1])]
    return [timed(lambda x, w, b: F.layer_norm(x, (shape[1],), w, b), inputs, backward)]


def _batch_norm(shape: list[int], backward: bool, residual: bool, layout: Any) -> Work:
    mean, var = torch.zeros(shape[1]), torch.ones(shape[1])
    inputs = [_random(*shape, layout=layout), _random(shape[1]), _random(shape[1])]
    inputs += [_random(*shape, layout=layout)] if residual else []

    def work(x: Any, w: Any, b: Any, r: Any = None) -> Any:
        y = F.batch_norm(x, mean, var, w, b, training=True)
        return F.relu(y if r is None else y + r, inplace=True)

    return timed(work, inputs, backward)


def batch_norm_relu(shape: list[int], backward: bool, dtype: str) -> list[Work]:
    return [_batch_norm(shape, backward, False, layout) for layout in LAYOUTS]


def batch_norm_add_relu(shape: list[int], backward: bool, dtype: str) -> list[Work]:
    return [_batch_norm(shape, backward, True, layout) for layout in LAYOUTS]


def _elementwise(function: Callable[[Any], Any]) -> Callable[..., list[Work]]:
    return lambda shape, backward, dtype: [timed(function, [_random(*shape)], backward)]


gelu, gelu_tanh = _elementwise(F.gelu), _elementwise(lambda x: F.gelu(x, approximate="tanh"))
silu, hardswish = _elementwise(F.silu), _elementwise(F.hardswish)
softmax = _elementwise(lambda x: F.softmax(x, -1))


def cross_entropy(shape: list[int], backward: bool, dtype: str) -> list[Work]:
    labels = torch.randint(0, shape[1], (shape[0],))
    return [timed(lambda x: F.cross_entropy(x, labels), [_random(*shape)], backward)]


def _pool(function: Callable[[Any], Any], shape: list[int], backward: bool) -> list[Work]:
    return [timed(function, [_random(*shape, layout=layout)], backward) for layout in LAYOUTS]


def max_pool2d(shape: list[int], kernel: int, stride: int, padding: int, backward: bool, dtype: str) -> list[Work]:
    return _pool(lambda x: F.max_pool2d(x, kernel, stride, padding), shape, backward)


def avg_pool2d(shape: list[int], kernel: int, stride: int, padding: int, backward: bool, dtype: str) -> list[Work]:
    return _pool(lambda x: F.avg_pool2d(x, kernel, stride, padding, count_include_pad=False), shape, backward)


def global_pool(shape: list[int], backward: bool, dtype: str) -> list[Work]:
    return _pool(lambda x: F.adaptive_avg_pool2d(x, 1), shape, backward)


def embedding(shape: list[int], rows: int, width: int, backward: bool, dtype: str) -> list[Work]:
    numbers = torch.randint(0, rows, tuple(shape))
    return [timed(lambda w: F.embedding(numbers, w), [_random(rows, width)], backward)]


def _update(optimiser: Any, shapes: list[list[int]], **settings: Any) -> Work:
    params = [_random(*shape) for shape in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    return optimiser(params, lr=1e-3, **settings).step


def adamw(shapes: list[list[int]], backward: bool, dtype: str) -> list[Work]:
    return [_update(torch.optim.AdamW, shapes, fused=True)]


def sgd(shapes: list[list[int]], backward: bool, dtype: str) -> list[Work]:
    return [_update(torch.optim.SGD, shapes, momentum=0.9, **more) for more in ({"fused": True}, {"foreach": True})]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        heads = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(*heads.unbind(0)).transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class _ViT(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, patch: int, side: int, channels: int, classes: int) -> None:
        super().__init__()
        tokens = (side // patch) ** 2 + 1
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(depth)))
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


def vit(batch: int, side: int, channels: int, classes: int, backward: bool, dtype: str, **sizes: int) -> list[Work]:
    model = _ViT(**sizes, side=side, channels=channels, classes=classes)
    images, labels = torch.randn(batch, channels, side, side), torch.arange(batch) % classes
    if not backward:
        return [torch.no_grad()(lambda: model.eval()(images))]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return [step]


def network(network: str, batch: int, backward: bool, dtype: str) -> list[Work]:
    """torchvision's model of that name, else timm's, in both layouts."""
    from torchvision import models

    def fresh() -> Any:
        if hasattr(models, network):
            return getattr(models, network)()
        import timm

        return timm.create_model(network, drop_path_rate=0.0)

    return [_network(fresh(), torch.randn(batch, 3, 224, 224), layout, backward) for layout in LAYOUTS]


def _network(model: Any, images: Any, layout: Any, backward: bool) -> Work:
    model, images = model.to(memory_format=layout), images.to(memory_format=layout)
    if not backward:
        return torch.no_grad()(lambda: model.eval()(images))
    labels, optimiser = torch.arange(len(images)), torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return step


def _gpt2(config: dict[str, int]) -> Any:
    """transformers' model of that size, without dropout."""
    import transformers

    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**config, **still))


def text(config: dict[str, int], batch: int, tokens: int, backward: bool, dtype: str) -> list[Work]:
    model = _gpt2(config).train()
    pieces = torch.randint(model.config.vocab_size, (batch, tokens + 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        logits = model(pieces[:, :-1], use_cache=False).logits
        F.cross_entropy(logits.flatten(0, 1), pieces[:, 1:].flatten()).backward()
        optimiser.step()

    return [step]


def writing(config: dict[str, int], prompt: int, count: int, backward: bool, dtype: str) -> list[Work]:
    model, start = _gpt2(config).eval(), torch.arange(prompt)[None]
    asked = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "use_cache": True}
    return [lambda: model.generate(start, attention_mask=torch.ones_like(start), pad_token_id=0, **asked)]


def prepare(spec: dict[str, Any]) -> list[Work]:
    """The ways to do a workload."""
    return globals()[spec["kind"]](**spec["sizes"], backward=spec["backward"], dtype=spec["dtype"])
