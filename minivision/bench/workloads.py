"""What is timed: the models' own shapes, with the arithmetic and the memory traffic that each cannot do without."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .. import models
from .networks import Layer, mobilenet_v3_large, resnet50


@dataclass(frozen=True)
class Workload:
    """One thing to time. `kind` and `sizes` tell an engine what to do.

    flops: multiplications and additions; bytes: every array that goes in or comes out, once. backward: forward, and the
    gradients of every array that has one; otherwise forward alone.
    """

    group: str
    name: str
    kind: str
    sizes: dict[str, Any]
    flops: float
    bytes: float
    backward: bool = False
    dtype: str = "float32"

    def spec(self) -> dict[str, Any]:
        """What an engine is told."""
        return {name: value for name, value in asdict(self).items() if name in ("name", "kind", "sizes", "backward", "dtype")}


GEMM = [
    (1576, 1152, 384), (1576, 1536, 384), (1576, 384, 1536), (25088, 64, 576), (256, 50257, 768), (392, 3072, 768),
    (64, 64, 64), (2048, 2048, 2048),
]  # fmt: skip


def gemm() -> Iterator[Workload]:
    """C(m, n) = A(m, k) B(k, n), plain and with either operand stored transposed; float64 plain."""
    for m, n, k in GEMM:
        for stored in ("ab", "abT", "aTb"):
            for dtype in ("float32", "float64"):
                size = 4 if dtype == "float32" else 8
                traffic = size * (m * k + k * n + m * n)
                sizes = {"m": m, "n": n, "k": k, "stored": stored}
                name = f"{m}x{n}x{k} {stored}"
                yield Workload("gemm" if size == 4 else "gemm64", name, "gemm", sizes, 2.0 * m * n * k, traffic, dtype=dtype)


def convolution() -> Iterator[Workload]:
    """Every distinct layer of ResNet-50 and MobileNetV3-Large at batch 8, forward and with both gradients."""
    for layer in dict.fromkeys(resnet50() + mobilenet_v3_large()):
        for backward in (False, True):
            yield _convolution(layer, 8, backward)


def _convolution(layer: Layer, batch: int, backward: bool) -> Workload:
    c, o, side, k, s, groups = layer
    out = (side + 2 * ((k - 1) // 2) - k) // s + 1
    flops = 2.0 * batch * out * out * o * (c // groups) * k * k
    traffic = 4 * (batch * c * side * side + batch * o * out * out + o * (c // groups) * k * k)
    group = ("depthwise" if groups > 1 else "conv") + (" + gradients" if backward else "")
    name = f"{k}x{k} {c}->{o} @{side}" + f" s{s}" * (s > 1) + " depthwise" * (groups > 1)
    sizes = {"batch": batch, **layer._asdict()}
    return Workload(group, name, "conv", sizes, flops * (3 if backward else 1), traffic * (3 if backward else 1), backward)


def attention() -> Iterator[Workload]:
    """softmax(q k^T + bias) v of ViT-S and ViT-B, of Swin's windows with a learned bias, and of a causal language model."""
    cases = {
        "ViT-S (8, 6, 197, 64)": (8, 6, 197, 64, False, False),
        "ViT-B (8, 12, 197, 64)": (8, 12, 197, 64, False, False),
        "Swin windows (512, 3, 49, 32), bias": (512, 3, 49, 32, True, False),
        "causal (4, 12, 1024, 64)": (4, 12, 1024, 64, False, True),
    }
    for name, (b, h, n, d, bias, causal) in cases.items():
        for backward in (False, True):
            pairs = n * (n + 1) / 2 if causal else n * n
            flops = 4.0 * b * h * pairs * d * (3.5 if backward else 1.0)  # backward: five products of this size, forward two
            traffic = 4.0 * b * h * n * d * (8 if backward else 4)
            sizes = {"batch": b, "heads": h, "tokens": n, "width": d, "bias": bias, "causal": causal}
            group = "attention" + (" + gradients" if backward else "")
            yield Workload(group, name, "attention", sizes, flops, traffic, backward)


def memory() -> Iterator[Workload]:
    """What reads and writes far more than it computes; forward and gradients. arrays: how many of x's size are moved."""
    images = [(8, 64, 112, 112), (8, 256, 56, 56), (8, 512, 28, 28), (8, 2048, 7, 7)]
    pools = {
        "max_pool2d 3x3 s2": ((8, 64, 112, 112), 3, 2, 1), "max_pool2d 2x2 s2": ((8, 64, 56, 56), 2, 2, 0),
        "avg_pool2d 2x2 s2": ((8, 256, 56, 56), 2, 2, 0), "avg_pool2d 3x3 s1": ((8, 96, 56, 56), 3, 1, 1),
    }  # fmt: skip
    for shape in [(1576, 384), (1576, 768), (6304, 384)]:
        yield _memory("layer_norm", shape, 5)
    for image in images:
        yield _memory("batch_norm_relu", image, 6)
        yield _memory("batch_norm_add_relu", image, 8)
    for kind in ("gelu", "gelu_tanh", "silu", "hardswish"):
        yield _memory(kind, (1576, 1536), 5)
    for rows, classes in [(1024, 1000), (256, 50257), (65536, 10)]:
        yield _memory("cross_entropy", (rows, classes), 3)
    for shape in [(1576, 1536), (9456, 197)]:
        yield _memory("softmax", shape, 5)
    for name, (image, k, s, p) in pools.items():
        yield _memory(name.split()[0], image, 2 + 2 / s**2, {"kernel": k, "stride": s, "padding": p}, name)
    for image in [(8, 2048, 7, 7), (8, 512, 14, 14)]:
        yield _memory("global_pool", image, 2)
    yield _memory("embedding", (8, 1024), 0, {"rows": 50257, "width": 768})


def _memory(kind: str, shape: tuple[int, ...], arrays: float, more: Any = None, name: str = "") -> Workload:
    traffic = 4.0 * arrays * math.prod(shape) if arrays else 4.0 * (3 * math.prod(shape) + more["rows"]) * more["width"]
    label = f"{name or kind} {'x'.join(map(str, shape))}"
    return Workload("memory-bound", label, kind, {"shape": list(shape), **(more or {})}, 0.0, traffic, True)


def optimisers() -> Iterator[Workload]:
    """One update of all parameters at once: 24 and 124 million numbers in tensors of a ViT's sizes."""
    for millions, width in [(24, 384), (124, 768)]:
        count = round(millions * 1e6 / (12 * width * width))
        shapes = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width), (width,)] * count
        elements = sum(map(math.prod, shapes))
        for kind, arrays in [("adamw", 7), ("sgd", 5)]:
            sizes = {"shapes": [list(shape) for shape in shapes]}
            yield Workload("optimiser", f"{kind} {elements / 1e6:.0f}M", kind, sizes, 0.0, 4.0 * arrays * elements)


def training() -> Iterator[Workload]:
    """Whole models: ViT-S/16 at batch 8, and the small ViT of the digits at batch 64; a training step, and inference."""
    small = {"width": 64, "depth": 4, "heads": 4, "patch": 2, "side": 8, "channels": 1, "classes": 10, "batch": 64}
    vit_s = {"width": 384, "depth": 12, "heads": 6, "patch": 16, "side": 224, "channels": 3, "classes": 1000, "batch": 8}
    for name, sizes in {"ViT-S/16, batch 8": vit_s, "digits ViT, batch 64": small}.items():
        yield Workload("training", f"{name}: training step", "vit", sizes, 3 * _vit_flops(**sizes), 0.0, True)
        yield Workload("training", f"{name}: inference", "vit", sizes, _vit_flops(**sizes), 0.0)


def _vit_flops(
    width: int, depth: int, heads: int, patch: int, side: int, channels: int, classes: int, batch: int
) -> float:  # fmt: skip
    """Of the matrix products alone."""
    tokens = (side // patch) ** 2 + 1
    block = 12 * tokens * width * width + 2 * tokens * tokens * width
    embed = (tokens - 1) * patch * patch * channels * width
    return 2.0 * batch * (depth * block + embed + width * classes)


NETWORKS = (
    "resnet18", "resnet50", "densenet121", "mobilenet_v3_large",
    "swin_tiny_patch4_window7_224", "mixer_s16_224", "poolformer_s12",
)  # fmt: skip


def networks() -> Iterator[Workload]:
    """Networks at batch 8 and 224 pixels: a training step with AdamW, without dropping branches, and inference."""
    for name in NETWORKS:
        flops, sizes = 2.0 * 8 * (models.entry(name).macs or 0), {"network": name, "batch": 8}
        label = name.split("_patch")[0].removesuffix("_224")
        yield Workload("networks", f"{label}: training step", "network", sizes, 3 * flops, 0.0, True)
        yield Workload("networks", f"{label}: inference", "network", sizes, flops, 0.0)


def language() -> Iterator[Workload]:
    """GPT-2 of 124 million numbers: a training step on 4 texts of 64 tokens, and 16 tokens written after 64, one by one.

    A token that is written needs every weight once.
    """
    config = models.entry("gpt2").config
    d, blocks, table = config.n_embd, 12 * config.n_layer * config.n_embd**2, config.vocab_size * config.n_embd
    batch, tokens, prompt, count = 4, 64, 64, 16
    forward = 2.0 * batch * tokens * (blocks + 2 * config.n_layer * tokens * d + table)
    whole = {"config": {name: value for name, value in asdict(config).items() if name.startswith("n_") or name == "vocab_size"}}
    sizes: dict[str, Any] = {**whole, "batch": batch, "tokens": tokens}
    yield Workload("language", f"gpt2, {batch} x {tokens} tokens: training step", "text", sizes, 3 * forward, 0.0, True)
    sizes = {**whole, "prompt": prompt, "count": count}
    read = 2.0 * (prompt + count - 1) * blocks + 2.0 * count * table
    yield Workload("language", f"gpt2: {count} tokens written", "writing", sizes, read, 4.0 * count * (blocks + table))


GROUPS = {
    "gemm": gemm, "conv": convolution, "attention": attention, "memory": memory, "optimiser": optimisers, "training": training,
    "networks": networks, "language": language,
}  # fmt: skip
WHOLE_MODELS = ("training", "networks", "language")


def workloads(groups: list[str] | None = None) -> list[Workload]:
    """The workloads of these groups (all of them by default)."""
    return [workload for group in groups or GROUPS for workload in GROUPS[group]()]
