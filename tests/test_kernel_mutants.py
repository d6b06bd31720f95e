"""Kernels with a planted fault: each is compiled with small blocks and must fail the sweep that the true kernels pass.

To extend: add a line to FAULTS, and to probes.py the sizes where it would show.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from probes import PROBES

from minivision import kernels

CSRC = Path(__file__).parents[1] / "csrc"
REJECTED = 3  # the status with which probes.py ends when a bound does not hold; a crash has another


# probe, file of csrc -> what is wrong -> the text (found once in the file), and what it becomes
FAULTS: dict[tuple[str, str], dict[str, tuple[str, str]]] = {
    ("gemm", "gemm.inc.c"): {
        "the bias is left out": ("start = FN(load)(bias + j, n);", "start = start;"),
        "a tile overwrites the earlier blocks of p": ("if (!first)", "if (0)"),
        "a vector more than half a panel is left out": ("columns <= HALF_NV * VL", "columns <= HALF_NV * VL + 1"),
        "every block of p counts as the first": ("in_place : NULL, p == 0,", "in_place : NULL, 1,"),
        "the short last block of p is left out": ("p < k; p += GEMM_KC", "p <= MAX(0, k - GEMM_KC); p += GEMM_KC"),
        "A is packed without its stride along p": ("MR + i] = a[i * a_i + p * a_p]", "MR + i] = a[i * a_i + p]"),
        "B is packed without its stride along j": ("= b[p * b_p + j * b_j]", "= b[p * b_p + j]"),
    },
    ("threads", "gemm.inc.c"): {
        "a second thread adds the bias of the first": ("bias ? bias + lo : NULL", "bias"),
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
    ("conv2d", "conv.inc.c"): {
        "every block of the sum counts as the first": ("y_k, o, bias, k0 == 0)", "y_k, o, bias, 1)"),
        "a vector more than half a panel is left out": ("columns <= HALF_NV * VL", "columns <= HALF_NV * VL + 1"),
        "a strided window of one pixel counts as the image": ("|| axes[i]->size != axes[i]->count)", ")"),
        "the gradient does not turn the filter around": ("axis.first = last, axis.gap = -gap", "axis.first = 0, axis.gap = gap"),
        "all groups add the bias of the first": ("bias ? bias + t.group * n : NULL", "bias"),
        "dfilter is that of the last block of pixels": ("row, NULL, k0 == 0", "row, NULL, 1"),
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
        "the variance lacks the end of the row": ("rest += (x[j] - m) * (x[j] - m)", "rest += 0"),
        "the mean is taken for a constant": ("(g - mean_g - h * mean_gh)", "(g - h * mean_gh)"),
        "the last chunk of rows is left out": ("SUM_CHUNKS; chunk++)\n        for", "SUM_CHUNKS - 1; chunk++)\n        for"),
    },
    ("linear", "norm.inc.c"): {
        "rows are summed without their last column": ("n; j++)\n                sum", "n - 1; j++)\n                sum"),
    },
    ("gelu", "elementwise.inc.c"): {
        "the slope lacks x phi(x)": ("(phi + x_i * gauss * (T)0.39894228040143267794)", "phi"),
    },
    ("gelu", "math.inc.c"): {
        "a wrong digit in the polynomial of exp": ("1.66666666666666796e-01", "1.66666666676666796e-01"),
    },
}  # fmt: skip
ALL = [pytest.param(*where, *edit, id=f"{where[1]}: {what}") for where, faults in FAULTS.items() for what, edit in faults.items()]


def compiled(csrc: Path, folder: Path) -> Path:
    """The kernels of a copy of csrc, with small blocks, for the base instruction set alone, without optimisation."""
    sys.path.insert(0, str(CSRC))
    try:
        import build_kernels
    finally:
        sys.path.remove(str(CSRC))
    flags = ["-DMV_SMALL_BLOCKS", "-O0", *(["-fopenmp"] if kernels.has_openmp() else [])]
    ffi = build_kernels.make_ffi(folder / "generated", flags=flags, source_dir=csrc, base_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what setuptools deprecates is not ours
        return Path(ffi.compile(tmpdir=str(folder / "build")))


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
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
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
    result = probed(compiled(csrc, tmp_path), probe)
    assert result.returncode == REJECTED, f"the fault went unnoticed\n{result.stdout}{result.stderr}"
