"""Fusing for inference: a norm as a line, kernels on a square, and what they come to."""

from __future__ import annotations

import numpy as np

from ... import functional as F
from ...models.acnet import ACBlock
from ...tape import Tensor
from ..drivers.acnet import LAYERS
from ..expect import expect, expect_parts
from ..proxy import Student


def norm_as_line(student: Student, rng: np.random.Generator) -> None:
    """scale x + shift is the batch norm of x, with and without weight and bias, also where the variance is as small as eps."""
    for channels, eps, parts in [(3, 1e-5, "weight bias"), (5, 0.1, "weight"), (1, 1e-3, "bias"), (4, 1e-5, ""), (0, 1e-5, "")]:
        mean, var = rng.normal(1.0, 1.0, channels), rng.uniform(0.0, 10.0 * eps, channels)
        weight = rng.normal(1.0, 0.5, channels) if "weight" in parts else None
        bias = rng.normal(size=channels) if "bias" in parts else None
        scale, shift = expect_parts(student(weight, bias, mean, var, eps), "scale shift")
        what = f"{channels} channels, eps={eps}, with {parts or 'neither weight nor bias'}"
        expect([np.shape(scale), np.shape(shift)], [(channels,), (channels,)], f"the shapes of scale and shift for {what}")
        x = rng.normal(size=(4, channels))
        expect(
            scale * x + shift, F.batch_norm(x, mean, var, weight, bias, eps=eps), f"scale x + shift for {what}", tolerance=1e-10
        )
    half = [rng.uniform(0.5, 1.5, 3).astype(np.float32) for _ in range(4)]
    types = [np.asarray(part).dtype.name for part in expect_parts(student(*half, 1e-5), "scale shift")]
    expect(types, ["float64"] * 2, "the element types of scale and shift for float32")


def kernel_on_square(student: Student, rng: np.random.Generator) -> None:
    """The convolution with the square kernel is the one with the kernel, for rows, columns and squares."""
    for k, (h, w) in [(3, (3, 1)), (3, (1, 3)), (5, (1, 5)), (5, (5, 1)), (3, (3, 3)), (5, (1, 1)), (1, (1, 1))]:
        kernel, x = rng.normal(size=(2, 3, h, w)), rng.normal(size=(1, 3, 8, 9))
        what = f"a kernel of {h} x {w} on {k} x {k}"
        square = student(kernel, k)
        expect([np.shape(square)], [(2, 3, k, k)], f"the shape of {what}")
        expected = F.conv2d(x, kernel, padding=(h // 2, w // 2))
        expect(F.conv2d(x, square, padding=k // 2), expected, f"the convolution with {what}", tolerance=1e-12)


def fuse_block(student: Student, rng: np.random.Generator) -> None:
    """The convolution with kernel and bias is what the block gives in evaluation; strides, paddings and groups."""
    for k, stride, padding, groups in [(3, 1, 1, 1), (3, 2, 0, 1), (5, 1, 2, 2), (5, 2, 1, 1)]:
        block = ACBlock(4, 6, k, stride, padding, 1, groups).double().eval()
        state = {
            name: rng.uniform(0.5, 1.5, a.shape) if "bn" in name and a.dtype.kind == "f" else a
            for name, a in block.state_dict().items()
        }
        state |= {name: rng.normal(size=a.shape) for name, a in state.items() if "conv" in name}
        block.load_state_dict(state)
        what = f"a block of {k} x {k}, stride {stride}, padding {padding}, {groups} groups"
        answer = student.drive("acnet:block", state, 4, 6, k, stride, padding, 1, groups)
        kernel, bias = expect_parts(answer, "kernel bias")
        expect([np.shape(kernel), np.shape(bias)], [(6, 4 // groups, k, k), (6,)], f"the shapes of kernel and bias of {what}")
        x = rng.normal(size=(2, 4, 8, 9))
        mine = F.conv2d(x, kernel, bias, stride, padding, groups=groups)
        expect(mine, block(Tensor(x)).data, f"the convolution in place of {what}", tolerance=1e-12)


def fold_transposed(student: Student, rng: np.random.Generator) -> None:
    """With the scaled weight a layer gives the scaled output, channel by channel."""
    cases = [
        ("Linear", [4, 6], 1, (3, 4)),
        ("Conv2d", [4, 6, 3], 2, (1, 4, 5, 6)),
        ("ConvTranspose2d", [4, 6, 3], 1, (1, 4, 5, 6)),
        ("ConvTranspose2d", [4, 4, 3], 1, (1, 4, 5, 6)),
        ("ConvTranspose2d", [4, 6, 2], 2, (1, 4, 5, 6)),
        ("ConvTranspose1d", [6, 12, 2], 3, (1, 6, 5)),
    ]
    for kind, settings, groups, shape in cases:
        layer = LAYERS[kind](*settings, bias=False, **({} if kind == "Linear" else {"groups": groups})).double()
        weight, scale = rng.normal(size=layer.weight.shape), rng.uniform(0.5, 2.0, settings[1])
        layer.load_state_dict({"weight": weight})
        x = Tensor(rng.normal(size=shape))
        expected = layer(x).data * scale.reshape(-1, *[1] * (len(shape) - 2))
        what = f"{kind}({', '.join(map(str, settings))}, groups={groups})"
        scaled = student.drive("acnet:layer", kind, settings, groups, scale, weight)
        expect([np.shape(scaled)], [weight.shape], f"the shape of the scaled weight of {what}")
        layer.load_state_dict({"weight": scaled})
        expect(layer(x).data, expected, f"the output with the scaled weight of {what}", tolerance=1e-12)
