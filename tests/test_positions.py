"""Fixed positions in sines and cosines, equal to the reference's (golden/make_mae.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from golden.weights import sketch

from minivision.models._positions import sin_cos_positions

ARRAYS = dict(np.load(Path(__file__).parent / "golden" / "mae.npz", allow_pickle=False))


def test_positions_equal_the_reference_s():
    """transformers' tables are in float32."""
    np.testing.assert_allclose(sin_cos_positions(64, (4, 4)), ARRAYS["positions/digits"], rtol=0, atol=1e-6)
    for name, width in (("encoder", 768), ("decoder", 512)):
        wanted = ARRAYS[f"positions/{name}"]
        found = sketch(name, sin_cos_positions(width, (14, 14)))
        assert np.linalg.norm(found - wanted) <= 1e-6 * np.sqrt(197 * width)


def test_the_first_half_of_a_position_is_the_column():
    table = sin_cos_positions(16, (3, 5))[0, 1:].reshape(3, 5, 16)
    np.testing.assert_array_equal(table[:, :, :8], np.broadcast_to(table[:1, :, :8], (3, 5, 8)))
    np.testing.assert_array_equal(table[:, :, 8:], np.broadcast_to(table[:, :1, 8:], (3, 5, 8)))
    np.testing.assert_allclose((table**2).sum(-1), 8.0, rtol=1e-14)  # sin^2 + cos^2 of 8 angles
    np.testing.assert_allclose(table[0, 3, :4], np.sin(3 * 10000.0 ** (-np.arange(4) / 4)), rtol=1e-14)
    np.testing.assert_array_equal(sin_cos_positions(16, (3, 5))[0, 0], 0.0)


def test_a_width_that_cannot_be_divided():
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        sin_cos_positions(6, (2, 2))
