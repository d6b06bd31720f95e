"""The C kernels against the NumPy pairs: every mix, every instruction set, both types; sizes around blocks; threads."""

from __future__ import annotations

import numpy as np
import pytest
from probes import PROBES

from minivision import kernels
from minivision.kernels._library import function, pointer
from minivision.kernels.matmul import product
from minivision.op import OPS, Op
from minivision.proof.backends import backend_error, each_isa, rounding_bound
from minivision.proof.case import Case, normal
from minivision.proof.cases import CASES
from minivision.proof.checks import SECOND_BOUND, second_error

pytestmark = pytest.mark.skipif(not kernels.AVAILABLE, reason=f"the C kernels are not built on this machine: {kernels.REASON}")
DTYPES = [np.float32, np.float64]
WITH_KERNEL = [name for name, op in OPS.items() if op.kernel is not None]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITH_KERNEL)
def test_every_mix_of_backends_on_every_instruction_set(name, dtype):
    """Forward by one, VJP by the other: the kept values are one contract."""
    for case in CASES[name]:
        if case.smooth:
            assert backend_error(OPS[name], case, dtype) <= 1.0, case.label


@pytest.mark.parametrize("isa", kernels.isas())
@pytest.mark.parametrize("probe", PROBES)
def test_sizes_around_blocks(probe, isa):
    before = kernels.isa()
    kernels.use_isa(isa)
    try:
        bad = [(what, ratio) for what, ratio in PROBES[probe]() if not ratio <= 1.0]
    finally:
        kernels.use_isa(before)
    assert not bad


@pytest.mark.parametrize("name", WITH_KERNEL)
def test_second_order_behind_a_kernel(name):
    """The tape replays the definition, whoever computed the first time."""
    for case in CASES[name]:
        if case.smooth and not OPS[name].once:
            assert second_error(OPS[name], case, "c") <= SECOND_BOUND, case.label


def test_the_kernel_is_what_computes():
    """A kernel that always answered NotImplemented would pass every comparison."""
    rng = np.random.default_rng(0)
    for name in WITH_KERNEL:
        cases = [case for case in CASES[name] if name != "multiply" or case.label.startswith("gates")]  # of products, gates alone
        taken = [OPS[name].kernel.forward(*case.arguments(rng), **case.attrs) is not NotImplemented for case in cases]
        assert sum(taken) > len(cases) / 2, name


@pytest.mark.parametrize("which", ["forward", "vjp"])
def test_a_kernel_off_by_a_few_roundings_is_noticed(which):
    """The bound is no wider than it must be: a relative error of 1e-5 in float32 breaks it."""
    right, slip = OPS["matmul"], np.float32(1 + 1e-5)

    def forward(a, b):
        return product(a, b) * (slip if which == "forward" else np.float32(1)), (a, b)

    def vjp(dy, kept, *, needs):
        a, b = kept
        return product(dy, b.T) * (slip if which == "vjp" else np.float32(1)), product(a.T, dy)

    wrong = Op("matmul", right.definition, right.vjp, kernels.Kernel(forward, vjp), False, "")
    case = Case("matrices", normal((3, 4), (4, 5)))
    assert backend_error(right, case, np.float32) <= 1.0
    assert backend_error(wrong, case, np.float32) > 1.0


def test_the_bound_of_a_product_is_gamma_times_absolute_values():
    a, b = normal((2, 3), (3, 2))(np.random.default_rng(1))
    jacobian = np.hstack([np.kron(np.eye(2), b.T), np.kron(a, np.eye(2))])
    bound = rounding_bound(jacobian, np.concatenate([a.ravel(), b.ravel()]), (a @ b).ravel(), np.float32)
    units = bound / (2 * np.abs(a) @ np.abs(b) + np.abs(a @ b)).ravel() / (np.finfo(np.float32).eps / 2)
    np.testing.assert_allclose(units, 6 + 16, rtol=1e-5)  # six numbers meet in an element; CHAIN more


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_reach_only_what_depends_on_them(dtype):
    """Tiles are filled up with zeros: an infinity must not meet one and leave a NaN beside its row."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((13, 9)).astype(dtype), rng.standard_normal((9, 33)).astype(dtype)
    clean = product(a, b)
    a[5, 3], a[7, 0], b[2, 31] = np.nan, np.inf, -np.inf
    for _ in each_isa():
        with np.errstate(invalid="ignore"):
            y = product(a, b)
        touched = np.zeros(y.shape, bool)
        touched[[5, 7]] = touched[:, 31] = True
        assert np.isfinite(y[~touched]).all()
        assert not np.isfinite(y[touched]).any()
        rest = np.ix_([i for i in range(13) if i not in (5, 7)], [j for j in range(33) if j != 31])
        np.testing.assert_allclose(y[rest], clean[rest], rtol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_plain_loops_in_c_equal_the_definitions(dtype):
    """What stands on top of each C file. An element is made of under 100 roundings of numbers of order one."""
    rng, close = np.random.default_rng(2), {"rtol": 0, "atol": 100 * np.finfo(dtype).eps}
    q, k, v, mask, x, w, b = (rng.standard_normal(s).astype(dtype) for s in [(5, 3), (7, 3), (7, 4), (5, 7), (1, 6), (6,), (6,)])
    gemm, attention, norm = (function(f"{name}_definition", x.dtype) for name in ("gemm", "attention", "layer_norm"))
    y, lse, mean, r = np.empty((5, 7), dtype), np.empty(5, dtype), np.empty(1, dtype), np.empty(1, dtype)
    gemm(5, 7, 3, pointer(q), 3, 1, pointer(k), 1, 3, pointer(y), 7, pointer(mask[0]))
    np.testing.assert_allclose(y, q @ k.T + mask[0], **close)
    y = np.empty((5, 4), dtype)
    for causal in (False, True):
        attention(
            5, 7, 3, 4, pointer(q), 3, pointer(k), 3, pointer(v), 4, pointer(mask), 7, 1, causal, 0.5, pointer(y), pointer(lse)
        )
        expected, kept = OPS["attention"].definition(q, k, v, mask, causal=causal, scale=0.5)
        np.testing.assert_allclose(y, expected, **close)
        np.testing.assert_allclose(lse, kept[-1], **close)
    y = np.empty((1, 6), dtype)
    norm(6, pointer(x), pointer(w), pointer(b), 1e-5, pointer(y), pointer(mean), pointer(r))
    np.testing.assert_allclose(y, OPS["layer_norm"].definition(x, w, b)[0], **close)


def test_another_instruction_set_is_another_table():
    """use_isa refuses what the processor lacks and names what it has."""
    with pytest.raises(ValueError, match=r"available: .*base"):
        kernels.use_isa("vax")
    assert kernels.isas()[-1] == "base"
    assert kernels.isa() in kernels.isas()
