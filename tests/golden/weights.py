"""Numbers by rule: weights, inputs and probes that follow from a name alone, so that none of them is stored.

Only the raw words of PCG64 are used, whose stream NumPy guarantees for ever; its distributions may change. Values are
exact in float32, so a model in float32 and one in float64 hold the same weights.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

PROBES = 32  # random directions for each large gradient
WHOLE = 256  # gradients up to this size are kept as they are


def words(name: str, count: int) -> np.ndarray:
    """`count` random 64-bit words that follow from the name."""
    return np.random.PCG64(zlib.crc32(name.encode())).random_raw(count)


def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers of mean 0 and variance 1 in the given shape, as float32."""
    unit = (words(name, math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return ((2.0 * unit - 1.0) * math.sqrt(3.0)).astype(np.float32).reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter: unit gain for matrices (O, I, ...), near 1 for a norm's scale, and far enough from 0 elsewhere to be seen."""
    if len(shape) >= 2 and name.endswith("weight"):
        return noise(name, shape) * np.float32(1.0 / math.sqrt(math.prod(shape[1:])))
    return noise(name, shape) * np.float32(0.25) + np.float32(name.endswith("weight"))


def sketch(name: str, gradient: np.ndarray) -> np.ndarray:
    """A gradient in few numbers: itself, or PROBES random signed sums scaled so that |sketch(g)| is |g| on average.

    The sketch is linear, so |sketch(g) - sketch(h)| estimates |g - h|. Its square is |g - h|^2 times a mean of PROBES
    squared, nearly normal numbers: the odds that it comes out below a quarter of the truth are under one in 10^5.
    """
    flat = np.asarray(gradient, np.float64).reshape(-1)
    if flat.size <= WHOLE:
        return flat
    bits = np.unpackbits(words(name + " probes", flat.size).astype("<u8").view(np.uint8).reshape(-1, 8)[:, : PROBES // 8], axis=1)
    return (flat.sum() - 2.0 * (flat @ bits)) / math.sqrt(PROBES)  # sum of (1 - 2 bit) g
