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
LARGE = 1 << 12  # from this size on the signs are products of a row's and a column's: as cheap as a narrow matrix product


def words(name: str, count: int) -> np.ndarray:
    """`count` random 64-bit words that follow from the name."""
    return np.random.PCG64(zlib.crc32(name.encode())).random_raw(count)


def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers of mean 0 and variance 1 in the given shape, as float32."""
    unit = (words(name, math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return ((2.0 * unit - 1.0) * math.sqrt(3.0)).astype(np.float32).reshape(shape)


def numbers(name: str, shape: tuple[int, ...], below: int) -> np.ndarray:
    """Whole numbers from 0 to below - 1 in the given shape, as int64."""
    return (words(name, math.prod(shape)) % np.uint64(below)).astype(np.int64).reshape(shape)


def gumbel(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of the Gumbel distribution in the given shape, in float64."""
    unit = ((words(name, math.prod(shape)) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return -np.log(-np.log(unit)).reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter: unit gain for matrices (O, I, ...), near 1 for a norm's scale, and far enough from 0 elsewhere to be seen.

    A buffer of a batch norm: a variance near 1, a mean near 0, no batches.
    """
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) >= 2 and name.endswith("weight"):
        return noise(name, shape) * np.float32(1.0 / math.sqrt(math.prod(shape[1:])))
    return noise(name, shape) * np.float32(0.25) + np.float32(name.endswith(("weight", "running_var")))


def sketch(name: str, gradient: np.ndarray, whole: int = WHOLE) -> np.ndarray:
    """A gradient in few numbers: itself up to that size, or PROBES random signed sums, as long as |g| on average.

    The sketch is linear, so |sketch(g) - sketch(h)| estimates |g - h|. Its square is |g - h|^2 times a mean of PROBES
    squared, nearly normal numbers: the odds that it comes out below a quarter of the truth are under one in 10^5. (Where
    the difference of two large matrices has rank one, the numbers are products of two normal ones, and the odds one in 50.)
    """
    flat = np.asarray(gradient, np.float64).reshape(-1)
    if flat.size <= whole:
        return flat
    if flat.size >= LARGE and gradient.ndim > 1:
        return _sketch_of_matrix(name, flat.reshape(len(gradient), -1))
    bits = np.unpackbits(words(name + " probes", flat.size).astype("<u8").view(np.uint8).reshape(-1, 8)[:, : PROBES // 8], axis=1)
    return (flat.sum() - 2.0 * (flat @ bits)) / math.sqrt(PROBES)  # sum of (1 - 2 bit) g


def _sketch_of_matrix(name: str, matrix: np.ndarray) -> np.ndarray:
    """u^T g v for PROBES pairs of random signs u, v."""
    rows, columns = (
        1.0 - 2.0 * (words(f"{name} {side}", n * PROBES).reshape(n, PROBES) >> np.uint64(63)).astype(np.float64)
        for side, n in zip(("rows", "columns"), matrix.shape, strict=True)
    )
    return np.sum(rows * (np.asarray(matrix, np.float64) @ columns), axis=0) / math.sqrt(PROBES)
