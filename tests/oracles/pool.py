"""Pooling by loops over windows, each made of its own pixels."""

from __future__ import annotations

import itertools
import math

import numpy as np

from oracles import Oracle


def _image(rng):
    """A small image, of many channels now and then; often with ties."""
    shape = (rng.integers(1, 3), rng.choice([1, 2, 3, 17]), rng.integers(1, 8), rng.integers(1, 8))
    x = rng.standard_normal(shape)
    return np.round(x) if rng.random() < 0.3 else x


def _pair(rng, low, high):
    return tuple(int(n) for n in rng.integers(low, high + 1, 2))


def _windows(rng, size, dilated):
    """A kernel with a padding that reach over no more than the padded image, and the other settings."""
    while True:
        kernel, dilation = _pair(rng, 1, 4), _pair(rng, 1, 3) if dilated else (1, 1)
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        if all(d * (k - 1) < n + 2 * p for n, k, p, d in zip(size, kernel, padding, dilation, strict=True)):
            more = {"dilation": dilation} if dilated else {}
            stride = _pair(rng, 1, 4)
            return {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": bool(rng.integers(2)), **more}


def _max_call(rng):
    x = _image(rng)
    return (x,), _windows(rng, x.shape[2:], rng.random() < 0.5)


def _avg_call(rng):
    x = _image(rng)
    divisor = int(rng.choice([-3, 1, 2, 7])) if rng.random() < 0.3 else None
    return (x,), {**_windows(rng, x.shape[2:], False), "count_include_pad": bool(rng.integers(2)), "divisor": divisor}


def _bins_call(rng):
    return (_image(rng),), {"size": _pair(rng, 1, 9)}


def _taps(n, k, stride, padding, dilation, ceil_mode):
    """For each window of an axis its places in the padded image, counted from the image's first pixel."""
    found, start = [], -padding
    while True:
        taps = [start + j * dilation for j in range(k)]
        inside = taps[-1] < n + padding
        if not inside and not (ceil_mode and start < n and found and found[-1][-1] < n + padding - 1):
            return found
        found.append(taps)
        start += stride


def _filled(x, down, across, reduce):
    """reduce(the pixels of a window in reading order, the number of its places in the padded image) for every window."""
    y = np.empty((*x.shape[:2], len(down), len(across)))
    for n, c, p, q in np.ndindex(*y.shape):
        rows, columns = down[p], across[q]
        pixels = [float(x[n, c, h, w]) for h, w in itertools.product(*(
            [i for i in taps if 0 <= i < size] for taps, size in zip((rows, columns), x.shape[2:], strict=True)
        ))]  # fmt: skip
        y[n, c, p, q] = reduce(pixels, p, q)
    return y


def _sliding(x, kernel, stride, padding, ceil_mode, dilation=(1, 1)):
    return [_taps(*axis, ceil_mode) for axis in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)]


def _max_pool2d(x, *, kernel, stride, padding, ceil_mode, dilation=(1, 1)):
    down, across = _sliding(x, kernel, stride, padding, ceil_mode, dilation)
    return _filled(x, down, across, lambda pixels, p, q: max(pixels, default=-math.inf))


def _avg_pool2d(x, *, kernel, stride, padding, ceil_mode, count_include_pad, divisor):
    down, across = _sliding(x, kernel, stride, padding, ceil_mode)
    (height, width), (top, left) = x.shape[2:], padding

    def mean(pixels, p, q):
        padded = sum(i < height + top for i in down[p]) * sum(i < width + left for i in across[q])
        return math.fsum(pixels) / (divisor or (padded if count_include_pad else len(pixels)))

    return _filled(x, down, across, mean)


def _parts(n, count):
    """Bin i: every pixel that shares a stretch with the interval from i n / count to (i + 1) n / count."""
    return [[h for h in range(n) if (h + 1) * count > i * n and h * count < (i + 1) * n] for i in range(count)]


def _adaptive(x, size, reduce):
    down, across = (_parts(n, count) for n, count in zip(x.shape[2:], size, strict=True))
    return _filled(x, down, across, lambda pixels, p, q: reduce(pixels))


ORACLES = {
    "max_pool2d": Oracle(_max_call, _max_pool2d),
    "avg_pool2d": Oracle(_avg_call, _avg_pool2d),
    "adaptive_avg_pool2d": Oracle(_bins_call, lambda x, *, size: _adaptive(x, size, lambda v: math.fsum(v) / len(v))),
    "adaptive_max_pool2d": Oracle(_bins_call, lambda x, *, size: _adaptive(x, size, max)),
}
