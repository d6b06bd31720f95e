"""Windows of an image, pixel by pixel."""

from __future__ import annotations

import numpy as np

from oracles import Oracle
from oracles.shape import elements


def _image(rng):
    n, down, across, r, s, c = (int(k) for k in rng.integers(1, 4, 6))
    return (n, down * r, across * s, c), (r, s), (int(rng.integers(-3, 5)), int(rng.integers(-3, 5)))


def _pixel(place, image, size, shift):
    """Where the pixel `place` = (window, i, j) of an image (H, W) stands: (n, row, column)."""
    (window, i, j), (h, w), (r, s) = place, image, size
    n, window = divmod(window, (h // r) * (w // s))
    p, q = divmod(window, w // s)
    return n, (p * r + i + shift[0]) % h, (q * s + j + shift[1]) % w


def _partition_call(rng):
    shape, size, shift = _image(rng)
    return (rng.standard_normal(shape),), {"size": size, "shift": shift}


def _partition(x, *, size, shift):
    n, h, w, c = x.shape
    y = np.empty((n * (h // size[0]) * (w // size[1]), *size, c))
    for place in elements(y.shape[:3]):
        y[place] = x[_pixel(place, (h, w), size, shift)]
    return y


def _reverse_call(rng):
    (n, h, w, c), (r, s), shift = _image(rng)
    return (rng.standard_normal((n * (h // r) * (w // s), r, s, c)),), {"image": (h, w), "shift": shift}


def _reverse(y, *, image, shift):
    size = y.shape[1:3]
    x = np.empty((y.shape[0] // ((image[0] // size[0]) * (image[1] // size[1])), *image, y.shape[3]))
    for place in elements(y.shape[:3]):
        x[_pixel(place, image, size, shift)] = y[place]
    return x


ORACLES = {
    "window_partition": Oracle(_partition_call, _partition, 0.0),
    "window_reverse": Oracle(_reverse_call, _reverse, 0.0),
}
