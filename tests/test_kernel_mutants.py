"""Kernels with a planted fault: each is compiled with small blocks and must fail the sweep that the true kernels pass.

To extend: add a line to FAULTS, and to probes.py the sizes where it would show.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from probes import PROBES

from minivision import kernels

CSRC = Path(__file__).parents[1] / "csrc"
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), "")
REJECTED = 3  # the status with which probes.py ends when a bound does not hold; a crash has another


# probe, file of csrc -> what is wrong -> the text (found once in the file), and what it becomes
FAULTS: dict[tuple[str, str], dict[str, tuple[str, str]]] = {
    ("gemm", "gemm.inc.c"): {
        "the bias is left out": ("start = FN(load)(bias + j, n);", "start = start;"),
        "a tile overwrites the earlier blocks of p": ("if (!first)", "if (0)"),
        "a vector more than half a panel is left out": ("columns <= HALF_NV * VL", "columns <= HALF_NV * VL + 1"),
        "every block of p counts as the first": ("in_place : NULL, p == 0,", "in_place : NULL, 1,"),
        "the short last block of p is left out": (
            "j += GEMM_NC(NR))\n        for (int64_t p = 0; p < k;",
            "j += GEMM_NC(NR))\n        for (int64_t p = 0; p <= MAX(0, k - GEMM_KC);",
        ),
        "A is packed without its stride along p": ("MR, a + p * a_p, packed", "MR, a + p, packed"),
        "A is packed without its stride along i": ("MR + i] = a[i * a_i + p * a_p]", "MR + i] = a[i + p * a_p]"),
        "rows a page apart are packed and read as if they were not": (
            "if (pack_a)\n                FN(gemm_tile)",
            "if (pack_a && a_p != 1)\n                FN(gemm_tile)",
        ),
        "B is packed without its stride along j": ("= b[p * b_p + j * b_j]", "= b[p * b_p + j]"),
        "the rows behind the turned squares are left out": ("p = whole; p < k;", "p = whole; p < whole;"),
        "a square is turned but for its last pairs": ("half > 0; half /= 2", "half > 1; half /= 2"),
    },
    ("gemm", "gemv.inc.c"): {
        "of one row, columns behind whole vectors are left out": ("if (whole < k)", "if (0)"),
        "of one row, every group of columns adds the first one's bias": ("bias ? bias + j : NULL", "bias"),
        "of one row, a short group is summed as if it were dense": ("(j + MIN(i, some - 1)) * b_j", "(j + i) * MIN(b_j, 1)"),
    },
    ("linear", "gemm.inc.c"): {
        "an activation of the first rows": ("then->y + at + i * c_i", "then->y + at"),
    },
    ("threads", "gemm.inc.c"): {
        "every block of p is finished": ("if (p + kc == k)", "if (1)"),
        "an activation of the first block": ("c, c_i, i * c_i + j + q)", "c, c_i, i * c_i)"),
        "every slice adds the bias of the first": ("+ b_j * j, *bias_j = bias ? bias + j : NULL;", "+ b_j * j, *bias_j = bias;"),
        "every block of columns adds the bias of the first": ("bias ? bias + j + q : NULL", "bias ? bias + j : NULL"),
        "all rows of a tall product are the first": ("kc, a_p0 + i * a_i, a_i", "kc, a_p0, a_i"),
        "a tall product keeps its last block of p": ("bias + j + q : NULL, p == 0", "bias + j + q : NULL, 1"),
    },
    ("attention", "attention.inc.c"): {
        "a query misses the key beside it": ("MIN(h->n, i + 1) : h->n, s)", "MIN(h->n, MAX(i, 1)) : h->n, s)"),
        "lse lacks the largest score": ("(T)INFINITY : top + (T)log(", "(T)INFINITY : (T)log("),
        "dk is that of the last block of queries": ("h->dk_s[2], NULL, i0 == 0,", "h->dk_s[2], NULL, 1,"),
        "<dy, y> is left out": ("(*(vec *)(ds + j) - dot)", "*(vec *)(ds + j)"),
        "dmask is that of the last head of a chunk": ("FN(load)(dmask + j, keys - j) + *(vec", "*(vec"),
        "dmask is scaled": ("*(vec *)(ds + j) - dot)", "*(vec *)(ds + j) - dot) * h->scale"),
        "a mask of queries is read as one of keys": ("mask[(j + l) * mask_j]", "mask[l]"),
    },
    ("conv2d", "conv_map.h"): {
        "a strided window of one pixel counts as the image": ("|| axes[i]->size != axes[i]->count)", ")"),
        "the taps of a gradient are met forwards": ("(map->h.first + r * map->h.gap)", "r"),
        "the gradient does not turn the filter around": ("axis.first = last, axis.gap = -gap", "axis.first = 0, axis.gap = gap"),
    },
    ("conv2d", "conv.inc.c"): {
        "every block of the sum counts as the first": ("k0 == 0);\n            else", "1);\n            else"),
        "a vector more than half a panel is left out": ("columns <= HALF_NV * VL", "columns <= HALF_NV * VL + 1"),
        "all groups add the bias of the first": ("bias ? bias + g * n : NULL", "bias"),
        "windows beside the image are read in it": ("|| w_q < 0 || last > map->w.size)", ")"),
        "windows in place move by one pixel": ("map->w.step * map->inner, 1, b, NR", "map->inner, 1, b, NR"),
        "rows of the filter outside the image keep their weights": (", b += run * NR)", ")"),
    },
    ("conv2d", "conv_filter.inc.c"): {
        "dfilter is that of the last block of pixels": ("row, NULL, k0 == lo", "row, NULL, 1"),
        "the sum is that of the first chunk": ("chunk = 1; chunk < chunks; chunk++)", "chunk = 1; chunk < 1; chunk++)"),
        "panels take the pixels of the first few": ("(k0 + k) * NR + v * VL", "k * NR + v * VL"),
    },
    ("conv2d", "conv_few.inc.c"): {
        "a window is cut on the left but read from its start": ("+ s) + first) * z->inner", "+ s)) * z->inner"),
        "a dilated window is a dense one": ("h = h_p + r * z->dilation_h", "h = h_p + r"),
        "windows overwrite what is there": ("FN(load)(to + c, count - c) + FN(load)(from", "FN(load)(from"),
    },
    ("conv2d", "conv_narrow.inc.c"): {
        "every channel takes the first of its group": ("packed += channels, lanes += 1", "packed += channels"),
        "a group has one channel more": ("l / (int)width * (int)width", "l / ((int)width + 1) * (int)width"),
        "the windows of one pixel": ("w->origin + q * w->step + s", "w->origin + q + s"),
        "the filters are not turned for the gradient": ("r = map->h.first, n", "r = 0, n"),
        "the filters' gradient is that of the last chunk": ("sum += partial", "sum = partial"),
    },
    ("winograd", "conv_winograd.inc.c"): {
        "images are turned with a wrong sign": ("d[step] = d1 + d2", "d[step] = d1 - d2"),
        "results are turned with a wrong sign": ("m[step] = m1 - m2 - m3", "m[step] = m1 - m2 + m3"),
        "filters are turned with a wrong sign": ("half * (g0 - g1 + g2)", "half * (g0 + g1 + g2)"),
        "a pixel beside the image is read": ("w >= 0 && w < map->w.size", "w >= 0"),
        "the bias is left out": ("start = FN(load)(bias", "start = 0 * FN(load)(bias"),
        "every block of outputs is the first": ("filters + e * plane + o * map->inner", "filters + e * plane"),
        "all rows of a block are the first": ("turned + (e * block + t) * row, row", "turned + e * block * row, row"),
    },
    ("winograd", "conv_winograd_filter.inc.c"): {
        "dy is turned with a wrong sign": ("y[2 * step] = y0 - y1", "y[2 * step] = y1 - y0"),
        "the sums are turned with a wrong sign": ("u[2 * step] = sum + u[3 * step]", "u[2 * step] = sum - u[3 * step]"),
        "dfilter is that of the last tiles": ("NULL, t == lo", "NULL, 1"),
        "the last row of an odd image is counted twice": ("at.p + 1 < map->h.count ? 2 : 1", "2"),
        "the channels of the first block": ("channels, x + i, beside", "channels, x, beside"),
        "the sum is that of the first chunk": ("tiles * chunk / chunks", "0 * tiles * chunk / chunks"),
    },
    ("depthwise", "depthwise.inc.c"): {
        "a tile leaves out the bias": ("row->bias ? *(const vec *)(row->bias + c) : (vec){0}", "(vec){0}"),
        "the plain way leaves out the bias": ("y_q[c] = row->bias ? row->bias[c] : 0", "y_q[c] = 0"),
        "a column beside the image is read": ("inside || (w + j >= 0 && w + j < row->size) ?", "1 ?"),
        "the last tile is left out": (
            "q0 < row->count; q0 += DEPTHWISE_TILE) {\n        const int64_t q =",
            "q0 + DEPTHWISE_TILE <= row->count; q0 += DEPTHWISE_TILE) {\n        const int64_t q =",
        ),
        "the rows of the filter begin at the first": (
            ".filter = filter + (h->first + r0 * h->gap) * f_r",
            ".filter = filter + h->first * f_r",
        ),
        "dfilter is that of the last row of pixels": ("sums + s * VL) += acc[0][s]", "sums + s * VL) = acc[0][s]"),
        "the last chunk of rows is left out": (
            "chunk < DEPTHWISE_CHUNKS; chunk++)\n                    sum",
            "chunk < DEPTHWISE_CHUNKS - 1; chunk++)\n                    sum",
        ),
    },
    ("layer_norm", "norm.inc.c"): {
        "the variance counts what is behind the row": ("int64_t k = left; k < VL", "int64_t k = VL; k < VL"),
        "the mean is taken for a constant": ("- d * slope[i] - level[i])", "- d * slope[i])"),
        "four rows have the root of the first": ("- m[i]) * s[i];\n        if (w)", "- m[i]) * s[0];\n        if (w)"),
        "the last chunk of rows is left out": ("SUM_CHUNKS; chunk++)\n        for", "SUM_CHUNKS - 1; chunk++)\n        for"),
        "the sum lacks the residual": ("FN(load_once)(a + j) + FN(load_once)(b + j)", "FN(load_once)(a + j)"),
        "the last elements lack the residual": ("FN(load)(a + j, n - j) + FN(load)(b + j, n - j)", "FN(load)(a + j, n - j)"),
        "the rows after the last four lack the sum's cotangent": ("if (ds)", "if (ds && rows == ROWS)"),
        "x is normalised without the residual": ("residual ? total + i * n : x + i * n", "x + i * n"),
    },
    ("rms_norm", "norm.inc.c"): {
        "RMS norm is centred": ("if (centred)\n        FN(mean_of_rows)", "if (1)\n        FN(mean_of_rows)"),
        "the rows after the last four are left out": ("i < rows; i++)\n        FN", "i < 0; i++)\n        FN"),
        "the slope of the root is taken for r squared": ("* s[i] * s[i] * s[i]", "* s[i] * s[i]"),
    },
    ("batch_norm", "batch_norm.inc.c"): {
        "groups lack the variance between channels": ("(double)count * (means[c] - m) * (means[c] - m)", "0"),
        "the mean is taken for a constant": ("(T)(-r_g * mean_g)", "0"),
        "channels first are gated as the first of them": ("z->last ? 0 : task;", "0;"),
        "the last chunk is left out": (
            "plan.tasks && z->last; task++)\n        for",
            "plan.tasks - 1 && z->last; task++)\n        for",
        ),
    },
    ("batch_norm", "channels.inc.c"): {
        "blocks are put together without what is between them": ("m2_b[c] + delta * delta * count * share", "m2_b[c]"),
        "dw and db lack the gate of the relu": ("if (map != MAP_PLAIN)", "if (map == MAP_GIVEN_RELU)"),
        "the channels of a row are not added up": ("half >= k; half /= 2", "half > k; half /= 2"),
        "the residual is left out": ("u += FN(load)(residual + at, left)", "u += (vec){0}"),
    },
    ("pool", "pool.inc.c"): {
        "a pixel takes dy from places behind it": ("lanes, small) == here", "lanes, small) >= here"),
        "places beyond a byte are read as bytes": ("if (small)\n        return", "if (1)\n        return"),
        "a mean is that of the last row": ("sum[v] += sum_h[v]", "sum[v] = sum_h[v]"),
        "all windows share as the first does": ("* share[p * across->count + q]", "* share[0]"),
        "every image is the first": ("down, &across, p, q, x + n * image", "down, &across, p, q, x"),
    },
    ("softmax", "softmax.inc.c"): {
        "the overlap of the last vector counts twice": ("l < VL - 1 - (n - 1) % VL ? 0 : -1", "-1"),
        "the sum is that of the last block": ("total += sum;\n    }\n    if (y)", "total = sum;\n    }\n    if (y)"),
        "softmax's slope for its logarithm": ("logarithm ? dy - FN(vexp)(y) * dot", "logarithm ? dy - y * dot"),
        "the columns of the first plane for all": (
            "* n * inner + l;\n        FN(softmax_lanes)(", "* 0 + l;\n        FN(softmax_lanes)("
        ),
    },
    ("cross_entropy", "cross_entropy.inc.c"): {
        "the end of the row weighs as much when smoothed": ("rest += (x[j] - top) * (w ? w[j] : 1)", "rest += x[j] - top"),
        "an ignored row has a slope": ("dy = t != all->ignore ? all->dy[i] : 0", "dy = all->dy[i]"),
        "the last row of short ones has no target": ("l < i + rows; l++", "l < i + rows - 1; l++"),
        "the slope lacks the smoothed share": ("dy * (at_target + each * all->sum_w)", "dy * at_target"),
    },
    ("linear", "norm.inc.c"): {
        "rows are summed without their last column": ("n; j++)\n                sum", "n - 1; j++)\n                sum"),
    },
    ("permutations", "copy.inc.c"): {
        "the rows after the last square are left out": ("(copy_definition)(m - whole_m, n,", "(copy_definition)(0, n,"),
        "squares lack the last round of the shuffle": ("round < LANES; round", "round < LANES / 2; round"),
        "outer axes step as in the result": ("x_b += b % plan[k] * x_s[k]", "x_b += b % plan[k] * y_s[k]"),
        "rows are read beside each other": ("memcpy(y + i * y_i, x + i * x_i,", "memcpy(y + i * y_i, x + i * n,"),
    },
    ("windows", "copy.inc.c"): {
        "a window that the border cuts lacks its other half": ("(size_t)((g->s - first) * g->c)", "(size_t)(0 * first)"),
        "an image's last rows are shifted out of it": ("(row % g->h + g->down) % g->h", "MIN(row % g->h + g->down, g->h - 1)"),
        "windows are put back in rows": ("+ p) * (g->w / g->s) + q) * g->r + i)", "+ p) * (g->w / g->s) + i) * g->r + q)"),
    },
    ("tables", "embedding.inc.c"): {
        "a repeated number overwrites": ("x_i[c] += y_i[c]", "x_i[c] = y_i[c]"),
        "the row to leave out is added to": ("if (index[i] != skip)", "if (count)"),
        "rows are taken from the first table": ("inner, x + o * n * inner, index + i", "inner, x, index + i"),
        "elements are taken from the first table": ("x + row / count * n * inner", "x"),
        "a second thread adds the columns of the first": ("first = task % blocks * width, columns", "first = 0, columns"),
        "an element is added to the first column": ("+ index[i * inner + c]) * inner + c]", "+ index[i * inner + c]) * inner]"),
    },
    ("pointwise", "elementwise.inc.c"): {
        "gelu's slope lacks x phi(x)": ("dy * (s + k * e * (T)0.39894228040143267794)", "dy * s"),
        "silu's slope lacks beta": ("dy * s * (1 + z * e)", "dy * s * (1 + k * e)"),
        "softplus holds x against the threshold": ("(ivec)(z > b), x, FN(select)", "(ivec)(x > b), x, FN(select)"),
        "hardtanh passes at the upper bound": ("(ivec)(k >= b)", "(ivec)(k > b)"),
        "hardswish has no upper piece": ("FN(select)((ivec)(k < 3), dy * (k", "FN(select)((ivec)(k < 99), dy * (k"),
        "the last elements are those of the start": (
            "(f, FN(load)(x + whole, n - whole), a, b)",
            "(f, FN(load)(x, n - whole), a, b)",
        ),
        "every chunk reads the first": ("NULL, x + i, a, b, y + i)", "NULL, x, a, b, y + i)"),
    },
    ("pointwise", "math.inc.c"): {
        "a wrong digit in the polynomial of exp": ("1.66666666666666796e-01", "1.66666666676666796e-01"),
        "a wrong digit in the polynomial of the logarithm": ("6.666632164e-01f", "6.667632164e-01f"),
        "exp(x) - 1 lacks the power's share": ("* power + (power - 1)", "* power"),
        "Phi of a negative number is that of its size": ("FN(sign)(x), tail, 1 - tail", "FN(sign)(x), 1 - tail, 1 - tail"),
    },
}  # fmt: skip
ALL = [pytest.param(*where, *edit, id=f"{where[1]}: {what}") for where, faults in FAULTS.items() for what, edit in faults.items()]


sys.path.insert(0, str(CSRC))
try:
    import build_kernels
finally:
    sys.path.remove(str(CSRC))
FLAGS = ["-DMV_SMALL_BLOCKS", "-DMV_BASE_ONLY", "-O0", "-fPIC", "-w", *(["-fopenmp"] if kernels.has_openmp() else [])]


def compile_one(source: Path, result: Path, *flags: str) -> None:
    command = [COMPILER, *build_kernels.COMMON_FLAGS, *FLAGS, *flags, str(source), "-o", str(result)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@functools.cache
def glue() -> Path:
    """A folder with the headers, and what no fault touches, compiled once: the module's own code, the dispatching, and the true
    kernels, whose doubles the faulty ones take over: most faults show in floats, and half is compiled in half the time.
    """
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    build_kernels.make_ffi(folder, flags=FLAGS, base_only=True).emit_c_code(str(folder / "_kernels.c"))
    python = [f"-I{sysconfig.get_path('include')}", f"-I{folder}", f"-I{CSRC}", "-DPy_LIMITED_API=0x030A0000"]
    compile_one(folder / "_kernels.c", folder / "_kernels.o", "-c", *python)
    compile_one(CSRC / "dispatch.c", folder / "dispatch.o", "-c", f"-I{folder}")
    compile_one(CSRC / "isa.inc.c", folder / "true.o", "-c", "-DISA_TABLE=mv_kernels_true", f"-I{folder}", "-x", "c")
    return folder


def compiled(csrc: Path, folder: Path, *flags: str) -> Path:
    """The kernels of a copy of csrc, with small blocks, for the base instruction set alone, without optimisation."""
    library, objects = folder / "_kernels.abi3.so", [str(glue() / f"{name}.o") for name in ("_kernels", "dispatch", "true")]
    compile_one(csrc / "isa_base.c", library, "-shared", *flags, f"-I{glue()}", *objects, "-lm")
    return library


def probed(library: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """probes.py on a build of the kernels; but for its probe of threads, on one."""
    environment = {**os.environ, "MINIVISION_KERNELS": str(library), "OMP_NUM_THREADS": "1"}
    environment.pop("MINIVISION_ISA", None)
    command = [sys.executable, str(Path(__file__).with_name("probes.py")), *names]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(autouse=True)
def _compiler() -> None:
    if not kernels.AVAILABLE:
        pytest.skip(f"the kernels are not built on this machine, so there is nothing to plant a fault in: {kernels.REASON}")
    if not COMPILER:
        pytest.skip("this machine has kernels but no C compiler to build faulty ones with")


def test_the_true_kernels_pass_with_small_blocks(tmp_path):
    result = probed(compiled(CSRC, tmp_path), *PROBES)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("probe", "file", "old", "new"), ALL)
def test_a_fault_is_noticed(probe, file, old, new, tmp_path):
    if probe == "threads" and not kernels.has_openmp():
        pytest.skip("the kernels are built without OpenMP: there is no second thread")
    csrc = Path(shutil.copytree(CSRC, tmp_path / "csrc", ignore=shutil.ignore_patterns("__pycache__")))
    text = (csrc / file).read_text()
    assert text.count(old) == 1, f"{file} holds {text.count(old)} times: {old}"
    (csrc / file).write_text(text.replace(old, new))
    result = probed(compiled(csrc, tmp_path, "-DMV_FLOAT_ALONE"), probe)
    if result.returncode == 0:  # a digit that floats do not have, a vector that they fill
        result = probed(compiled(csrc, tmp_path), probe)
    assert result.returncode == REJECTED, f"the fault went unnoticed\n{result.stdout}{result.stderr}"
