"""The teaching ladder of csrc/steps: each step against float64 NumPy, and each with a planted fault that must be noticed."""

from __future__ import annotations

import functools
import itertools
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from minimal_filtering import sizes_of_results

from minivision import kernels

STEPS = Path(__file__).parents[1] / "csrc" / "steps"
sys.path.insert(0, str(STEPS))
try:
    import build_steps
finally:
    sys.path.remove(str(STEPS))
UNIT = float(np.finfo(np.float32).eps) / 2  # of rounding
NAMES = build_steps.names()
# step -> what is wrong -> the text (found once in the file), and what it becomes
FAULTS: dict[str, dict[str, tuple[str, str]]] = {
    "gemm_1_naive": {"the last term of each sum is left out": ("p < k; p++", "p < k - 1; p++")},
    "gemm_2_order": {"results are added to what was there": ("memset(c, 0, (size_t)(m * n) * sizeof(float));", "")},
    "gemm_3_registers": {
        "the fourth row of a tile takes A's third": ("a[p + 3 * k]", "a[p + 2 * k]"),
        "a tile hangs over the right border": ("j + COLUMNS <= n)", "j < n)"),
    },
    "gemm_4_vectors": {
        "the second vector of B is the first": ("b + p * n + v * VL", "b + p * n"),
        "rows below the last tile are left out": ("border(MIN(MR, m - i), MIN(NR", "border(m - i < MR ? 0 : MR, MIN(NR"),
    },
    "gemm_5_blocked": {
        "a block overwrites the earlier ones": (") += sum[i][v]", ") = sum[i][v]"),
        "the short last block of p is left out": ("p < k; p += KC", "p + KC <= k; p += KC"),
    },
    "gemm_6_packed": {
        "the short last panel holds the first columns": ("? b[p * b_p + j + l] : 0", "? b[p * b_p + l] : 0"),
        "every block of p counts as the first": ("row, p == 0, space", "row, 1, space"),
        "short rows of A are read as if they had k numbers": (
            "memcpy(rows_a + l * k, a + (i + l) * a_i", "memcpy(rows_a + l * k, a + i * a_i + l * k",
        ),
    },
    "gemm_7_threads": {
        "each thread computes the first slice": ("a + lo * k, b, c", "a, b, c"),
        "the last tile is nobody's": ("tiles = (longer + unit - 1) / unit", "tiles = longer / unit"),
    },
    "conv_1_direct": {"there is no border on the left": ("w = q * z->stride + s - z->pad", "w = q * z->stride + s")},
    "conv_2_im2col": {"all windows are the first image's": ("n++, x += z->height * z->width * z->inner", "n++")},
    "conv_3_implicit": {
        "every block of taps counts as the first": ("z->outer, t == 0", "z->outer, 1"),
        "a block of taps begins at the first": ("int64_t t = t0; t < t1; t++", "int64_t t = 0; t < t1 - t0; t++"),
    },
    "conv_4_minimal": {
        "pixels are turned with a wrong sign": ("x[step] = x1 + x2", "x[step] = x1 - x2"),
        "both rows of results are the first": ("z->rows + p + r) * z->columns", "z->rows + p) * z->columns"),
        "all tiles are the first": ("rows + m * z->inner, plane", "rows, plane"),
    },
    "attention_1_naive": {"all heads see the keys of the first": ("k[(row / m * n + j) * d + c]", "k[j * d + c]")},
    "attention_2_online": {"the sum of weights does not shrink": ("total *= shrink;", "")},
    "attention_3_tiled": {
        "y does not shrink": ("y[c] *= shrink", "y[c] *= 1"),
        "absent keys have score 0": ("s[j] = -INFINITY", "s[j] = 0"),
        "a later tile of keys starts the sums anew": ("*total *= shrink", "*total = 0"),
    },
}  # fmt: skip
PLANTED = [pytest.param(name, *edit, id=f"{name}: {what}") for name, faults in FAULTS.items() for what, edit in faults.items()]
NO_LOWER = pytest.param("", marks=pytest.mark.skip(reason="the kernels in use are for the lowest instruction set, or not built"))
LOWER = [isa for isa in kernels.isas() if isa != kernels.isa()] or [NO_LOWER]
needs_compiler = pytest.mark.skipif(build_steps.compiler() is None, reason="no C compiler here to build the steps with")


def gamma(k: int) -> float:
    """The bound k u / (1 - k u) of a sum of k products (Higham 2002, section 3.1)."""
    return k * UNIT / (1 - k * UNIT)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def excess(call: build_steps.Call, wanted: np.ndarray, bound: np.ndarray) -> float:
    """The error of a call as a multiple of its bound, infinite for a write outside; up to 1 it is right."""
    call.run()
    error = np.abs(call.result - wanted)
    worst = np.max(error / np.where(bound == 0, np.where(error == 0, 1, UNIT * UNIT), bound), initial=0)
    return float(np.nan_to_num(worst, nan=np.inf)) if call.stayed_inside() else np.inf


def products(size: dict[str, int]) -> Iterator[tuple[int, int, int, int]]:
    """m, n, k and threads: nothing, one, odd, at tiles and blocks and one beside them."""
    mr, nr, kc, nc = size.values()
    for m, n, k in itertools.product((0, 1, mr, 2 * mr + 1), (0, 1, nr - 1, nr, 2 * nr + 3), (0, 1, 5)):
        yield m, n, k, 1
    yield from [(mr + 1, nr + 1, k, 1) for k in (kc - 1, kc, kc + 1, 2 * kc + 3)]
    yield from [(mr + 1, n, 3, 1) for n in (nc - 1, nc, nc + 1)] + [(2 * mr - 1, nc + nr + 1, kc + 1, 1)]
    yield from [(5 * mr + 1, nr + 1, 7, 3), (mr + 1, 5 * nr + 1, 7, 2), (1, 1, 1, 4)]


def gemm_excess(step: build_steps.Step, size: dict[str, int]) -> float:
    rng, worst = np.random.default_rng(0), 0.0
    for m, n, k, threads in products(size):
        a, b = normal(rng, m, k), normal(rng, k, n)
        a64, b64 = a.astype(np.float64), b.astype(np.float64)
        worst = max(worst, excess(step.gemm(a, b, threads), a64 @ b64, gamma(k) * (np.abs(a64) @ np.abs(b64))))
    return worst


def convolution(x: np.ndarray, filters: np.ndarray, stride: int, pad: int) -> np.ndarray:
    """In float64, tap by tap."""
    taps = len(filters)
    padded = np.pad(x.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = ((side - taps) // stride + 1 for side in padded.shape[1:3])
    y = np.zeros((len(x), rows, columns, filters.shape[3]))
    for r, s in np.ndindex(taps, taps):
        y += padded[:, r:, s:][:, : rows * stride : stride, : columns * stride : stride] @ filters[r, s].astype(np.float64)
    return y


def conv_excess(step: build_steps.Step, size: dict[str, int], minimal: bool = False) -> float:
    """images, height, width, channels in and out, taps, stride, pad: borders, strides, blocks of taps and of outputs."""
    rng, worst, (mr, nr, kc, nc) = np.random.default_rng(1), 0.0, size.values()
    cases = [
        (2, 5, 6, 3, 7, 3, 1, 1), (3, 7, 4, 1, nr, 1, 1, 0), (1, 9, 8, 2, nr + 1, 5, 2, 2), (2, 4, 3, kc // 2, 3, 3, 1, 1),
        (1, 3, mr + 1, kc + 1, 2, 3, 1, 2), (1, 2, 2, 3, nc + 1, 2, 1, 1), (0, 4, 4, 2, 3, 3, 1, 1), (2, 3, 3, 0, 3, 3, 1, 1),
        (1, 6, 6, 4, 5, 2, 3, 0),
    ]  # fmt: skip
    for n, h, w, i, o, taps, stride, pad in cases:
        x, filters = normal(rng, n, h, w, i), normal(rng, taps, taps, i, o)
        wanted, size_of_sums = (convolution(f(x), f(filters), stride, pad) for f in (np.asarray, np.abs))
        bound = gamma(taps * taps * i) * size_of_sums
        if minimal and (taps, stride) == (3, 1):  # 12 more additions: 4 for each of three turnings
            images, turned = x.transpose(0, 3, 1, 2).astype(np.float64), filters.transpose(3, 2, 0, 1).astype(np.float64)
            sizes = sizes_of_results(images, turned, *wanted.shape[1:3], ((pad, pad), (pad, pad)))
            bound = gamma(i + 12) * sizes.transpose(0, 2, 3, 1)
        worst = max(worst, excess(step.conv(x, filters, stride, pad), wanted, bound))
    return worst


def attention_reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """y in float64, and what its float32 version may err by.

    A score s errs by (gamma_d + 2 u) |q| |k| / sqrt(d) =: e, its exponent s - t by u |s - t| more and exp itself by 2 u; a
    weight's relative error is at most the sum, the quotient's twice that. Each of n rescalings rounds thrice (exp, its
    exponent, the product); the sums over n keys give gamma_n. The exponents met in rescaling add up to s - t at most.
    """
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    n, d = k.shape[1:]
    s, most = (a @ b.swapaxes(1, 2) / np.sqrt(d) for a, b in ((q, k), (np.abs(q), np.abs(k))))
    low = s - s.max(-1, keepdims=True)
    p = np.exp(low) / np.exp(low).sum(-1, keepdims=True)
    error = ((gamma(d + 2)) * most + 2 * UNIT * np.abs(low)).max(-1, keepdims=True)
    return p @ v, (2 * (error + 4 * UNIT) + gamma(4 * n)) * (p @ np.abs(v))


def attention_excess(step: build_steps.Step, size: dict[str, int]) -> float:
    """heads, queries, keys, width; scores of a size where the largest one moves often, and far."""
    rng, worst, (mr, nr, _, _) = np.random.default_rng(2), 0.0, size.values()
    cases = [
        (2, 3, 5, 4), (1, 1, 1, 1), (3, mr + 1, nr + 1, nr + 1), (1, 49, 128, 8), (1, 50, 129, 16), (2, 7, 300, 64),
        (0, 4, 4, 4), (2, 0, 3, 4),
    ]  # fmt: skip
    for heads, m, n, d in cases:
        q, k, v = 3 * normal(rng, heads, m, d), 2 * normal(rng, heads, n, d), normal(rng, heads, n, d)
        worst = max(worst, excess(step.attention(q, k, v), *attention_reference(q, k, v)))
    return worst


CHECKS = {"gemm": gemm_excess, "conv": conv_excess, "attention": attention_excess}


@functools.cache
def blocks(isa: str) -> dict[str, int]:
    """The sizes of tiles and blocks for an instruction set, which is in use."""
    with tempfile.TemporaryDirectory() as folder:
        return build_steps.blocks(Path(folder))


def checked(name: str, source: Path, folder: Path, *flags: str) -> float:
    """The largest error of a step over all its cases, as a multiple of what rounding allows."""
    check = functools.partial(conv_excess, minimal=True) if name == "conv_4_minimal" else CHECKS[name.split("_")[0]]
    return check(build_steps.load(source, folder, *flags), blocks(kernels.isa()))


def test_every_step_has_its_place_and_a_fault():
    assert NAMES
    assert FAULTS.keys() == set(NAMES), "each file of csrc/steps needs a planted fault"
    assert {path.stem for path in STEPS.glob("*.c")} == set(NAMES), "a step is named family_number_idea.c"
    for family in CHECKS:
        numbers = [int(name.split("_")[1]) for name in build_steps.names(family)]
        assert numbers == list(range(1, len(numbers) + 1)), f"the steps of {family} are numbered from 1, without a gap"
    assert {name.split("_")[0] for name in NAMES} == CHECKS.keys()


def test_the_readme_lists_the_steps_in_order():
    listed = re.findall(r"^\| `(\w+)\.c` \| .{10,} \|$", (STEPS / "README.md").read_text(), re.M)
    assert listed == [name for family in CHECKS for name in build_steps.names(family)]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_short_and_says_why(name):
    text = (STEPS / f"{name}.c").read_text()
    header, number = text.split("*/")[0], name.split("_")[1]
    assert 20 <= len(text.splitlines()) <= 120
    assert re.match(rf"/\* .*\b[Ss]tep {number}: ", header), "first the idea"
    assert re.search(r"^ \* {5}\S", header, re.M), "what it should cost, on a line of its own"
    assert re.search(r"\((19|20)\d\d\)", header), "and who wrote it down"


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_right(name, tmp_path):
    assert checked(name, STEPS / f"{name}.c", tmp_path) <= 1


@needs_compiler
@pytest.mark.parametrize(("name", "old", "new"), PLANTED)
def test_a_fault_is_noticed(name, old, new, tmp_path):
    text = (STEPS / f"{name}.c").read_text()
    assert text.count(old) == 1, f"{name}.c holds {text.count(old)} times: {old}"
    faulty = tmp_path / "steps" / f"{name}.c"
    shutil.copytree(STEPS, faulty.parent, ignore=shutil.ignore_patterns("__pycache__"))
    faulty.write_text(text.replace(old, new))
    assert checked(name, faulty, tmp_path, "-w") > 1


@needs_compiler
def test_threads_give_the_same_bits(tmp_path):
    step, rng = build_steps.load(STEPS / "gemm_7_threads.c", tmp_path), np.random.default_rng(3)
    for m, n in [(101, 67), (67, 131)]:
        a, b = normal(rng, m, 500), normal(rng, 500, n)
        calls = [step.gemm(a, b, threads) for threads in (1, 2, 3, 7)]
        for call in calls:
            call.run()
        assert all(np.array_equal(call.result, calls[0].result) for call in calls)


@needs_compiler
@pytest.mark.parametrize("isa", LOWER)
@pytest.mark.parametrize("name", ["gemm_7_threads", "conv_4_minimal", "attention_3_tiled"])
def test_the_last_steps_are_right_on_lower_instruction_sets(isa, name, tmp_path):
    before = kernels.isa()
    try:
        kernels.use_isa(isa)
        assert checked(name, STEPS / f"{name}.c", tmp_path) <= 1
    finally:
        kernels.use_isa(before)
