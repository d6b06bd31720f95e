"""The numbers that masked image models sort patches by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random
from ..errors import ShapeError


def masking_noise(shape: tuple[int, int], noise: Any, seed: int | None, place: str) -> np.ndarray:
    """Numbers (images, places): `noise` itself, or drawn from it where it is a generator.

    None: the same ones from the seed every time, or where that is None too, others each time from mv.manual_seed's generator.
    place: what there is a number for, such as "patch". ShapeError for numbers of another shape.
    """
    if noise is None and seed is not None:
        noise = np.random.PCG64(seed).random_raw(math.prod(shape)).reshape(shape)
    elif noise is None or isinstance(noise, np.random.Generator):
        noise = (noise or random.generator()).random(shape)
    noise = np.asarray(noise)
    if noise.shape != shape:
        hint = f"one number for each {place} of each image; or pass a numpy.random.Generator"
        raise ShapeError("masking", f"noise should be {shape}, got {noise.shape}", f"noise {noise.shape}", hint)
    return noise
