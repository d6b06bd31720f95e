"""Convolutions and their windows, tap by tap: which element meets which is counted out on plain indices."""

from __future__ import annotations

import itertools
import math

import numpy as np

from oracles import Oracle


def draw_axes(rng, count, largest=3):
    """Random windows over `count` axes: kernel, stride, padding, dilation, and image sizes that they fit into."""
    numbers = {name: tuple(map(int, rng.integers(1, largest + 1, count))) for name in ("kernel", "stride", "dilation")}
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (count, 2)))
    sizes = []
    for k, d, around in zip(numbers["kernel"], numbers["dilation"], padding, strict=True):
        sizes.append(max(1, d * (k - 1) + 1 - sum(around)) + int(rng.integers(0, 4)))
    return {**numbers, "padding": padding}, tuple(sizes)


def counts(sizes, kernel, stride, padding, dilation):
    """How many windows there are: their first taps are counted one by one."""
    found = []
    for n, k, u, (before, after), d in zip(sizes, kernel, stride, padding, dilation, strict=True):
        found.append(sum(start + d * (k - 1) < n + after for start in range(-before, n + after, u)))
    return tuple(found)


def meetings(sizes, kernel, stride, padding, dilation):
    """(window, tap, pixel) for every tap of every window that lies inside the image."""
    for window in itertools.product(*map(range, counts(sizes, kernel, stride, padding, dilation))):
        for tap in itertools.product(*map(range, kernel)):
            parts = zip(window, stride, tap, dilation, padding, strict=True)
            pixel = tuple(p * u + k * d - before for p, u, k, d, (before, _) in parts)
            if all(0 <= i < n for i, n in zip(pixel, sizes, strict=True)):
                yield window, tap, pixel


def im2col_call(rng):
    """Images of one to three axes."""
    attrs, sizes = draw_axes(rng, int(rng.integers(1, 4)), 2)
    return (rng.standard_normal((*rng.integers(1, 3, 2), *sizes)),), attrs


def im2col(x, *, kernel, stride, padding, dilation):
    """Each pixel to all its places."""
    windows = {"stride": stride, "padding": padding, "dilation": dilation}
    y = np.zeros((len(x), *counts(x.shape[2:], kernel, **windows), *kernel, x.shape[1]))
    for window, tap, pixel in meetings(x.shape[2:], kernel, **windows):
        for n, c in np.ndindex(x.shape[:2]):
            y[(n, *window, *tap, c)] = x[(n, c, *pixel)]
    return y


def col2im_call(rng):
    """The shapes that im2col makes."""
    (x,), attrs = im2col_call(rng)
    shape = (len(x), *counts(x.shape[2:], **attrs), *attrs.pop("kernel"), x.shape[1])
    return (rng.standard_normal(shape),), {"size": x.shape[2:], **attrs}


def col2im(y, *, size, stride, padding, dilation):
    """Each element of the windows to its pixel."""
    x = np.zeros((len(y), y.shape[-1], *size))
    kernel = y.shape[len(size) + 1 : -1]
    for window, tap, pixel in meetings(size, kernel, stride, padding, dilation):
        for n, c in np.ndindex(x.shape[:2]):
            x[(n, c, *pixel)] += y[(n, *window, *tap, c)]
    return x


def conv2d_call(rng, transposed=False):
    """x, weight, bias or None; groups, and now and then a filter for each channel."""
    attrs, sizes = draw_axes(rng, 2)
    groups, inner, outer = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(1, 3))
    weight = rng.standard_normal((groups * outer, inner, *attrs["kernel"]))
    channels, results = (len(weight), groups * inner) if transposed else (groups * inner, len(weight))
    bias = rng.standard_normal(results) if rng.random() < 0.8 else None
    kept = {"size": sizes} if transposed else {}
    x = rng.standard_normal((int(rng.integers(1, 3)), channels, *(counts(sizes, **attrs) if transposed else sizes)))
    del attrs["kernel"]
    return (x, weight, bias), {**attrs, **kept, "groups": groups}


def terms(size, weight, groups, windows):
    """(window, pixel, output channel, input channel, the weight between them) for every product that conv2d sums."""
    outputs, inputs = weight.shape[:2]
    for window, tap, pixel in meetings(size, weight.shape[2:], **windows):
        for o, i in itertools.product(range(outputs), range(inputs)):
            yield window, pixel, o, o // (outputs // groups) * inputs + i, weight[(o, i, *tap)]


def conv2d(x, weight, bias, *, groups, **windows):
    """Every product of a pixel and a tap, added where it belongs, by math.fsum."""
    places: dict[tuple[int, ...], list[float]] = {}
    for window, pixel, o, i, w in terms(x.shape[2:], weight, groups, windows):
        for n in range(len(x)):
            places.setdefault((n, o, *window), []).append(w * x[(n, i, *pixel)])
    y = np.zeros((len(x), len(weight), *counts(x.shape[2:], weight.shape[2:], **windows)))
    for place in np.ndindex(y.shape):
        y[place] = math.fsum([*places.get(place, []), 0.0 if bias is None else bias[place[1]]])
    return y


def conv_transpose2d(x, weight, bias, *, size, groups, **windows):
    """The same products the other way round."""
    y = np.zeros((len(x), weight.shape[1] * groups, *size))
    for window, pixel, o, i, w in terms(size, weight, groups, windows):
        for n in range(len(x)):
            y[(n, i, *pixel)] += w * x[(n, o, *window)]
    return y if bias is None else y + bias[:, None, None]


ORACLES = {
    "im2col": Oracle(im2col_call, im2col),
    "col2im": Oracle(col2im_call, col2im),
    "conv2d": Oracle(conv2d_call, conv2d),
    "conv_transpose2d": Oracle(lambda rng: conv2d_call(rng, transposed=True), conv_transpose2d),
}
