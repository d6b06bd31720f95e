"""Every operation against an oracle that shares no code with it, on random calls: 10,000 in all."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from oracles import ORACLES

from minivision import kernels
from minivision.backend import backend
from minivision.op import OPS

CALLS = 10_000
EACH = -(-CALLS // max(len(OPS), 1))


def test_every_operation_has_an_oracle_and_there_are_enough_calls():
    assert ORACLES.keys() == OPS.keys()
    assert EACH * len(OPS) >= CALLS


CALLS_OF = [(name, by) for name in sorted(ORACLES) for by in ("numpy", "c") if by == "numpy" or OPS[name].kernel]


@pytest.mark.parametrize(("name", "by"), CALLS_OF)
def test_an_operation_agrees_with_its_oracle(name, by):
    if by == "c" and not kernels.AVAILABLE:
        pytest.skip(f"the C kernels are not built on this machine: {kernels.REASON}")
    rng, oracle = np.random.default_rng(zlib.crc32(name.encode())), ORACLES[name]
    for number in range(EACH):
        arrays, attributes = oracle.call(rng)
        with backend(by), np.errstate(all="ignore"):
            came = OPS[name](*arrays, **attributes)
        expected = np.asarray(oracle.answer(*arrays, **attributes))
        assert came.shape == expected.shape, f"call {number}: {attributes}"
        scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=1.0)
        np.testing.assert_allclose(came, expected, rtol=0, atol=oracle.tolerance * scale, err_msg=f"call {number}: {attributes}")
