"""Kernels against NumPy at the sizes where blocks begin and end; each probe yields (what, error in units of its bound).

The tests run them on the installed kernels; as a program, `python probes.py gemm`, on whatever build the environment
variable MINIVISION_KERNELS names, ending with status 1 at the first bound that does not hold: so builds with small
blocks and builds with a planted fault are judged by the same sweep.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
from copies import permutations, tables, windows
from curves import probe as curve_sweep
from depthwise import probe as depthwise_sweep
from norms import norm_sweep, rows_sweep
from pools import probe as pool_sweep

from minivision import kernels
from minivision.backend import backend
from minivision.kernels.matmul import product
from minivision.op import OPS, Op
from minivision.proof.backends import LEEWAY, arguments_in, backend_error, each_isa, everything, mixed, own_error
from minivision.proof.case import Case, Draw, normal, with_constants
from minivision.proof.cases import CASES

Probe = Iterator[tuple[str, float]]
DTYPES = (np.float32, np.float64)
# Around the tiles (rows 4, 6, 12; columns 4, 8, 16, 32 by instruction set and type) and the blocks of a small build
# (8 deep, two tiles wide): 0, 1, block - 1, block, block + 1, and more than one outer block.
ROWS = (0, 1, 3, 4, 5, 6, 7, 11, 12, 13, 25)
COLUMNS = (0, 1, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 65)
DEPTHS = (0, 1, 3, 4, 5, 7, 8, 9, 17)
# The same for the blocks of the real build (384 deep, 768 wide; a second thread from 5e5 operations on).
LARGE = [
    (5, 7, 383),
    (13, 33, 384),
    (7, 65, 385),
    (25, 9, 769),
    (3, 767, 5),
    (13, 768, 17),
    (12, 769, 386),
    (131, 40, 70),
    (40, 131, 70),
    (26, 530, 1021),  # rows 4096 bytes apart, with those around them: packed
]


def gamma_ratio(came: np.ndarray, a: np.ndarray, b: np.ndarray, bias: np.ndarray | None) -> float:
    """The error of came = a b + bias over gamma_(k+1) (|a| |b| + |bias|): Higham 2002, eq. 3.5, whatever the order of the sum."""
    a, b, start = a.astype(np.float64), b.astype(np.float64), 0.0 if bias is None else bias.astype(np.float64)
    roundings = (a.shape[1] + 1) * (np.finfo(came.dtype).eps / 2) * (2 if came.dtype == np.float64 else 1)  # NumPy's own error
    bound = roundings / (1 - roundings) * (np.abs(a) @ np.abs(b) + np.abs(start))
    off = np.abs(came - (a @ b + start))
    return float(np.max(np.where(off == 0, 0.0, off / np.where(bound == 0, np.finfo(float).tiny, bound)), initial=0.0))


def _operand(rng: np.random.Generator, rows: int, columns: int, turned: bool, dtype: type) -> np.ndarray:
    """(rows, columns), in rows or in columns, with NaN around it for whoever reads too far."""
    shape = (columns, rows) if turned else (rows, columns)
    around = np.full((shape[0] + 2, shape[1] + 3), np.nan, dtype)
    inside = around[1:-1, 2:-1]
    inside[...] = rng.standard_normal(shape)
    return inside.T if turned else inside


def products(sizes: list[tuple[int, int, int]]) -> Probe:
    """Matrix products of these sizes (m, n, k), either operand transposed, with and without bias, both types."""
    rng = np.random.default_rng(7)
    for m, n, k in sizes:
        for turns in range(8):
            for dtype in DTYPES:
                a, b = _operand(rng, m, k, bool(turns & 1), dtype), _operand(rng, k, n, bool(turns & 2), dtype)
                bias = rng.standard_normal(n).astype(dtype) if turns & 4 else None
                yield f"gemm {m} x {n} x {k}, variant {turns}, {dtype.__name__}", gamma_ratio(product(a, b, bias), a, b, bias)


def gemm() -> Probe:
    """Every size around the tiles and small blocks, then around the large ones."""
    yield from products(LARGE)
    yield from products([(m, n, k) for m in ROWS for n in COLUMNS for k in DEPTHS])


def _against_definition(name: str, cases: list[Case]) -> Probe:
    for case in cases:
        for dtype in DTYPES:
            yield f"{name} {case.label}, {dtype.__name__}", backend_error(OPS[name], case, dtype)


def _sizes(shapes: list[tuple[tuple[int, ...], ...]], *constants: object, **attrs: object) -> list[Case]:
    def draw(group: tuple[tuple[int, ...], ...]) -> Draw:
        return with_constants(normal(*group), *constants)

    return [Case(f"{group} {attrs}", draw(group), attrs) for group in shapes]


def attention() -> Probe:
    """Around blocks of 4 queries and of 4, 8, 16 keys; causal; a mask that broadcasts; then around blocks of 48."""
    shapes = [((m, 3), (n, 3), (n, e)) for m, n, e in [(1, 1, 1), (3, 4, 2), (4, 5, 3), (5, 8, 2), (9, 9, 4), (5, 17, 5)]]
    yield from _against_definition("attention", _sizes(shapes, None, scale=0.6) + _sizes(shapes, None, scale=0.6, causal=True))
    yield from _against_definition(
        "attention", _sizes([((5, 2), (9, 2), (9, 3), (1, 9)), ((5, 2), (9, 2), (9, 3), (5, 1))], scale=0.6)
    )
    biased = [((3, 2, 5, 2), (3, 2, 9, 2), (3, 2, 9, 3), bias) for bias in [(2, 5, 9), (3, 2, 5, 9), (3, 1, 1, 9), (1, 5, 1)]]
    biased += [((2, 2, 2, 5, 2), (2, 2, 2, 9, 2), (2, 2, 2, 9, 3), bias) for bias in [(2, 5, 9), (2, 2, 5, 9), (2, 1, 1, 5, 9)]]
    biased += [((33, 1, 2, 1), (33, 1, 3, 1), (33, 1, 3, 1), (2, 3))]  # more heads than chunks of them
    yield from _against_definition("attention", _sizes(biased, scale=0.6))
    large = [((2, m, 8), (2, n, 8), (2, n, 5)) for m, n in [(47, 48), (49, 50), (97, 33)]]
    for case in _sizes(large, None, scale=0.35) + _sizes(large, None, scale=0.35, causal=True):
        for dtype in DTYPES:
            yield f"attention {case.label}, {dtype.__name__}", _beside_own_error(OPS["attention"], case, dtype)


def _beside_own_error(op: Op, case: Case, dtype: type) -> float:
    """backend_error for arrays too large for a Jacobian: in units of the part of its bound that needs none."""
    args, dy = arguments_in(op, case, dtype)
    exact = [None if a is None else a.astype(np.float64) for a in (*args, dy)]
    off = np.abs(mixed(op, args, dy, case, "c", "c") - everything(op, exact[:-1], exact[-1], case))
    return float(np.max(off / (LEEWAY * own_error(op, case, dtype) * (2 if dtype == np.float64 else 1))))


def layer_norm() -> Probe:
    """Around vectors of 4 to 16 elements, and around the 16 chunks of rows. (One element alone, weighted, has gradient 0
    but for the rounding of dy w, for which the bound has no measure.)"""
    sizes = [(2, 3), (3, 4), (1, 7), (15, 2), (16, 3), (17, 5), (33, 2), (2, 8), (2, 9), (1, 17), (1, 33)]
    yield from _against_definition("layer_norm", _sizes([((rows, n), (n,), (n,)) for rows, n in sizes]))
    yield from _against_definition("layer_norm", _sizes([((rows, n),) for rows, n in [*sizes, (1, 1), (3, 1)]], None, None))
    yield from _against_definition("add_layer_norm", _sizes([((rows, n), (rows, n), (n,), (n,)) for rows, n in [*sizes, (6, 9)]]))


def softmax() -> Probe:
    """Around vectors of 2 to 16 elements, short rows of two, sums of a few; other axes; the logarithm likewise."""
    rows = [((m, n),) for m, n in [(1, 1), (3, 2), (2, 4), (5, 5), (1, 8), (3, 9), (2, 16), (17, 3), (1, 31), (2, 33), (1, 49)]]
    columns = [((2, n, inner),) for n, inner in [(1, 2), (3, 3), (5, 4), (2, 17), (9, 2)]]
    for name in ("softmax", "log_softmax"):
        yield from _against_definition(name, _sizes(rows) + _sizes(columns, axis=1))


def cross_entropy() -> Probe:
    """The same rows, with and without weights, smoothing, and targets that are ignored."""
    rng = np.random.default_rng(11)
    for m, n in [(1, 2), (3, 4), (5, 5), (17, 3), (2, 9), (3, 17), (2, 33), (1, 49)]:
        target, weight = rng.integers(0, n, m), rng.uniform(0.5, 2.0, n)
        target[-1] = n - 1 if m % 2 else -100  # the last class, or one to be ignored
        for smoothing in (0.0, 0.2):
            yield from _against_definition(
                "cross_entropy",
                _sizes([((m, n),)], target, None, smoothing=smoothing) + _sizes([((m, n),)], target, weight, smoothing=smoothing),
            )


def linear() -> Probe:
    """Bias gradients around the 16 chunks of rows, which a kernel of their own sums."""
    shapes = [((rows, 3), (n, 3), (n,)) for rows, n in [(1, 1), (15, 2), (16, 3), (17, 4), (33, 5)]]
    yield from _against_definition("linear", _sizes(shapes))
    shapes = [((rows, 9), (n, 9), (n,)) for rows, n in [(1, 3), (7, 5), (30, 2), (5, 40), (36, 34)]]
    for name in ("gelu_tanh", "relu"):
        yield from _against_definition("linear_activation", _sizes(shapes, activation=name))


def conv2d() -> Probe:
    """The cases of the proof, whose sums are longer than a small block; more channels; pixels in a row; narrow groups."""
    more = {"17 channels": ((1, 2, 2, 3), (17, 2, 1, 1), (17,)), "20 pixels": ((2, 1, 5, 4), (2, 1, 2, 2), (2,))}
    cases = [*CASES["conv2d"], *(Case(label, normal(*shapes)) for label, shapes in more.items())]
    row = {"stride": (1, 2), "padding": ((1, 1), (1, 0))}
    cases += [Case("rows of 24", normal((1, 1, 3, 47), (2, 1, 2, 2), (2,)), row)]
    for width in (2, 4, 8):
        attrs = {"groups": 16 // width, "stride": (1, 2), "padding": ((1, 0), (0, 1))}
        cases += [Case(f"groups of {width}", normal((1, 16, 3, 4), (16, width, 2, 2), (16,)), attrs)]
    yield from _against_definition("conv2d", [case for case in cases if case.smooth])


def winograd() -> Probe:
    """3 x 3 filters at stride 1 around tiles of two results, blocks of eight tiles, vectors and panels of channels."""
    one, none, wide = ((1, 1), (1, 1)), ((0, 0), (0, 0)), ((2, 1), (0, 3))
    shapes = [
        ((1, 1, 3, 3), 1, none), ((1, 1, 1, 1), 2, one), ((2, 2, 2, 3), 3, one), ((1, 3, 5, 4), 1, one), ((1, 2, 4, 4), 2, wide),
        ((1, 1, 3, 9), 9, one), ((1, 9, 2, 2), 1, one),
    ]  # fmt: skip
    cases = [Case(f"{x} -> {o}, {pad}", normal(x, (o, x[1], 3, 3), (o,)), {"padding": pad}) for x, o, pad in shapes]
    yield from _against_definition("conv2d", cases)
    for x, o in [((2, 7, 9, 8), 10), ((1, 17, 7, 7), 20)]:
        case = Case(f"{x} -> {o}", normal(x, (o, x[1], 3, 3), (o,)), {"padding": one})
        for dtype in DTYPES:
            yield f"winograd {case.label}, {dtype.__name__}", _beside_own_error(OPS["conv2d"], case, dtype)


def threads() -> Probe:
    """The same bits from one thread and from two: ratio 0 or infinity."""
    rng, before = np.random.default_rng(3), kernels.get_num_threads()
    for dtype in DTYPES:
        for name, run in _threaded(rng, dtype).items():
            results = []
            for count in (1, 2):
                kernels.set_num_threads(count)
                with backend("c"):
                    results.append(run())
            kernels.set_num_threads(before)
            yield f"{name}, {dtype.__name__}, one thread and two", 0.0 if np.array_equal(*results) else np.inf


def _threaded(rng: np.random.Generator, dtype: type) -> dict[str, Callable[[], np.ndarray]]:
    """Work large enough for a second thread."""

    def case_of(name: str, *shapes: tuple[int, ...], **attrs: object) -> Callable[[], np.ndarray]:
        absent = [None] * (name in ("attention", "batch_norm"))  # a mask, a residual
        arguments = [rng.standard_normal(shape).astype(dtype) for shape in shapes] + absent
        case = Case(name, lambda rng: tuple(arguments), attrs)
        dy = rng.standard_normal(OPS[name](*arguments, **attrs).shape).astype(dtype)
        return lambda: mixed(OPS[name], arguments, dy, case, "c", "c")

    return {
        "rows of a product": case_of("linear", (331, 30), (300, 30), (300,)),
        "rows and their activation": case_of("linear_activation", (131, 20), (100, 20), (100,), activation="relu"),
        "columns of a product": case_of("linear", (40, 70), (131, 70), (131,)),
        "batch": case_of("matmul", (3, 64, 64), (3, 64, 64)),
        "layer_norm": case_of("layer_norm", (700, 33), (33,), (33,)),
        "add_layer_norm": case_of("add_layer_norm", (700, 33), (700, 33), (33,), (33,)),
        "batch_norm, channels last": case_of("batch_norm", (9000, 20), (20,), (20,)),
        "batch_norm, channels first": case_of("batch_norm", (6, 20, 33, 40), (20,), (20,)),
        "group_norm": case_of("group_norm", (3, 20, 45, 40), (20,), (20,), groups=5),
        "softmax": case_of("softmax", (700, 33)),
        "softmax of short rows": case_of("softmax", (1400, 17)),
        "softmax of columns": case_of("log_softmax", (40, 17, 35), axis=1),
        "gelu": case_of("gelu", (17000,)),
        "heads": case_of("attention", (3, 60, 8), (3, 60, 8), (3, 60, 8), scale=0.35),
        "one head": case_of("attention", (100, 8), (50, 8), (50, 8), scale=0.35),
    }


def depthwise() -> Probe:
    """Every tile, and the plain way."""
    yield from depthwise_sweep()


PROBES: dict[str, Callable[[], Probe]] = {
    "gemm": gemm, "attention": attention, "layer_norm": layer_norm, "conv2d": conv2d, "winograd": winograd,
    "depthwise": depthwise,
    "pointwise": curve_sweep, "linear": linear,
    "softmax": softmax, "cross_entropy": cross_entropy,
    "batch_norm": norm_sweep, "rms_norm": rows_sweep,
    "pool": pool_sweep, "permutations": permutations, "windows": windows, "tables": tables,
    "threads": threads,
}  # fmt: skip


def first_failure(name: str) -> str:
    """The first thing in a probe that is out of bounds, on any instruction set; "" if all is right."""
    for isa in each_isa():
        for what, ratio in PROBES[name]():
            if not ratio <= 1.0:
                return f"{what}, {isa}: {ratio:.3g} times the bound"
    return ""


if __name__ == "__main__":
    if not kernels.AVAILABLE:
        sys.exit(f"no kernels to probe: {kernels.REASON}")
    failures = [found for name in sys.argv[1:] if (found := first_failure(name))]
    print("\n".join(failures))
    sys.exit(3 if failures else 0)
