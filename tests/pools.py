"""The kernels of pooling against the definition at the sizes where vectors and blocks of channels begin and end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minivision.op import OPS
from minivision.proof.backends import backend_error
from minivision.proof.case import Case, distinct

CHANNELS = (3, 5, 17)  # ragged ends behind vectors of 2 and 4 elements, and behind blocks of 4 and 8 of them
PADDED = {"kernel": (2, 2), "stride": (1, 1), "padding": (1, 1)}
CALLS = {
    "max_pool2d": PADDED,
    "avg_pool2d": {**PADDED, "count_include_pad": False},
    "adaptive_avg_pool2d": {"size": (1, 2)},
    "adaptive_max_pool2d": {"size": (2, 2)},
}
BEYOND_A_BYTE = {"kernel": (2, 2), "stride": (1, 1), "dilation": (1, 64)}  # 130 places in a window


def probe() -> Iterator[tuple[str, float]]:
    """Two images of each number of channels; and windows with more places than a byte counts."""
    cases = [(name, (2, n, 2, 2), attrs) for name, attrs in CALLS.items() for n in CHANNELS]
    for name, shape, attrs in [*cases, ("max_pool2d", (1, 2, 2, 65), BEYOND_A_BYTE)]:
        for dtype in (np.float32, np.float64):
            case = Case(f"{shape} {attrs}", distinct(shape), attrs, complex_step=False)
            yield f"{name} {case.label}, {np.dtype(dtype)}", backend_error(OPS[name], case, dtype)
