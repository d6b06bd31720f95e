"""The one source of randomness: initial weights, dropout, drop path, shuffles."""

from __future__ import annotations

import numpy as np

_generator = np.random.Generator(np.random.PCG64(0))


def manual_seed(seed: int) -> np.random.Generator:
    """Starts the generator afresh; the same seed gives the same numbers on every machine."""
    global _generator
    _generator = np.random.Generator(np.random.PCG64(seed))
    return _generator


def generator() -> np.random.Generator:
    """The generator in use."""
    return _generator
