r"""
The matrix product: from three loops to the machine's peak
===========================================================

Nearly all the arithmetic of a network is one operation, the matrix product. Its definition is three loops, and a compiler makes
of them a program that is right and lets almost the whole machine stand idle. Where does the time go? This lesson climbs from
there to the machine's limit in seven steps, one idea each, compiled and measured as you read; then it takes the same product
backwards.

:Prerequisites: :doc:`02_gradients`
"""

import tempfile
import time
import timeit
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import bench, lesson
from minivision.classroom.c_file import build_steps  # compiles a step, one C file, with the kernels' flags

# %%
# The question
# ------------
#
# :math:`C = AB` with :math:`A` of shape :math:`(m, k)` and :math:`B` of shape :math:`(k, n)` is
#
# .. math:: c_{ij} = \sum_{p=1}^{k} a_{ip}\, b_{pj}, \qquad 2mnk \text{ operations: a product and a sum for each } (i, j, p).
#
# Nothing says in which order, and all of this lesson lives on that freedom. Three orders, in Python: each number of :math:`C` as
# an *inner* product; each row of :math:`C` as a sum of *rows* of :math:`B`; all of :math:`C` as a sum of *outer* products.

ORDERS = {
    "inner": lambda a, b: [[sum(a_i[p] * b[p, j] for p in range(len(b))) for j in range(b.shape[1])] for a_i in a],
    "rows": lambda a, b: [sum(a_i[p] * b[p] for p in range(len(b))) for a_i in a],
    "outer": lambda a, b: sum(np.multiply.outer(a[:, p], b[p]) for p in range(len(b))),
    "the library": mv.ops.matmul.matmul,
}

# %%
# **When are two answers the same?** Not to the bit: a sum in another order rounds otherwise. But the error is bounded for *every*
# order. A floating-point operation is off by a factor :math:`1 + \delta`, :math:`|\delta| \le u`, and each term of :math:`c_{ij}`
# meets at most :math:`k` of them, one product and up to :math:`k - 1` sums. So, number by number (Higham 2002, section 3.1),
#
# .. math:: |\hat C - AB| \le \gamma_k\, |A|\,|B|, \qquad \gamma_k = \frac{ku}{1 - ku}, \qquad u = 2^{-24} \text{ for float32}.
#
# Everything below is held to this bound, and no tolerance is chosen by taste.

rng = np.random.default_rng(0)
normal = partial(rng.standard_normal, dtype=np.float32)


def share_of_bound(c, a, b):  # the largest error, as a share of what rounding allows
    ku = a.shape[1] * 2.0**-24
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.max(np.abs(c - a @ b) / (ku / (1 - ku) * (np.abs(a) @ np.abs(b))))


a, b = normal((33, 40)), normal((40, 29))
for name, order in ORDERS.items():
    print(f"{name:>12}: the largest error is {share_of_bound(order(a, b), a, b):.1%} of the bound")
    assert share_of_bound(order(a, b), a, b) <= 1
    assert share_of_bound(order(a[:, 1:], b[1:]), a, b) > 1  # one forgotten term is noticed

# %%
# Two limits
# ----------
#
# A machine computes so many operations a second at most, its *peak* :math:`\pi`, and moves so many bytes, its *bandwidth*
# :math:`\beta`. A program that does :math:`I` operations for each byte it moves, its *arithmetic intensity*, is no faster than
# :math:`\min(\pi, \beta I)`: the *roofline* (Williams, Waterman & Patterson 2009). A product of squares must read :math:`A` and
# :math:`B` and write :math:`C`, :math:`12 n^2` bytes for :math:`2 n^3` operations, so :math:`I = n / 6`: enough for the peak.

*_, LAST = SIZES = [48, 96] if lesson.quick() else [64, 128, 256, 512, 1024]
cores = mv.get_num_threads()
mv.set_num_threads(1)
if machine := bench.measure_machine(0.1 if lesson.quick() else 2):
    peak, bandwidth = machine.peak["float32"] / 1e9, machine.bandwidth / 1e9
    print(f"{machine.processor}, {machine.isa}, one thread: {peak:.0f} GFLOP/s, {bandwidth:.0f} GB/s")
    print(f"memory is the limit below {peak / bandwidth:.1f} operations a byte; a product of {LAST} x {LAST} has {LAST / 6:.0f}")

SPEED = {}
if not (ready := build_steps.compiler() is not None):
    print("There is no C compiler here: the steps are read, not timed.")


def seconds(run, n, clock=time.thread_time):  # of one run at its best; a thread's clock stands still while others compute
    number = max(1, (10**6 if lesson.quick() else 10**8) // n**3)
    return min(timeit.repeat(run, timer=clock, repeat=3, number=number)) / number


def climb(name):  # compiles a step, holds it to the bound, times it
    if not ready:
        return None
    with tempfile.TemporaryDirectory() as folder:
        step = build_steps.load(build_steps.HERE / f"{name}.c", Path(folder))
    for m, n, k in [(3, 5, 7), (61, 67, 71), (13, 800, 800)]:  # less than a tile, odd, more than a block
        call = step.gemm(a := normal((m, k)), b := normal((k, n)))
        call.run()
        assert share_of_bound(call.result, a, b) <= 1
    SPEED[name] = [2 * n**3 / seconds(step.gemm(normal((n, n)), normal((n, n))).run, n) / 1e9 for n in SIZES]
    print(f"{name:<16} GFLOP/s:", *(f"{speed:.1f} at {n}  " for n, speed in zip(SIZES, SPEED[name], strict=True)))
    return step


# %%
# Steps 1 and 2: the definition, and its loops in another order
# -------------------------------------------------------------
#
# .. literalinclude:: ../../csrc/steps/gemm_1_naive.c
#    :language: c
#    :start-at: void gemm
#    :caption: csrc/steps/gemm_1_naive.c
#
# Every multiply-add needs the sum of the one before it and waits for it, some four cycles, where the machine could begin two
# every cycle on a whole vector of numbers. And :math:`p` walks down a *column* of :math:`B`: each number of 4 bytes is fetched
# with the 64 bytes of its cache line. Where :math:`B` is larger than a cache, that is 64 bytes for 2 operations. With :math:`j`
# innermost, as in ``rows`` above, no multiply-add waits for another, lines are used whole, and the compiler makes vectors.

climb("gemm_1_naive")
climb("gemm_2_order")

# %%
# Steps 3 and 4: a tile of sums in registers
# ------------------------------------------
#
# Step 2 carries each :math:`c_{ij}` from the first cache and back for every :math:`p`. A tile of :math:`r \times s` sums that
# stay in registers loads :math:`r + s` numbers for :math:`rs` multiply-adds, :math:`1/r + 1/s` each: the larger and squarer, the
# better. Step 3 has 4 rows of plain arrays, and trusts the compiler. Step 4 names the vectors, as many as there are registers.
#
# .. literalinclude:: ../../csrc/steps/gemm_4_vectors.c
#    :language: c
#    :start-at: /* c (MR, NR)
#    :end-before: static void border
#    :caption: csrc/steps/gemm_4_vectors.c

climb("gemm_3_registers")
climb("gemm_4_vectors")

# %%
# Steps 5 and 6: blocks, and packed panels
# ----------------------------------------
#
# Step 4 fetches all of :math:`B` once for every few rows of :math:`A`. In step 5 all of :math:`A` meets a block of :math:`B` that
# fits the second cache, then the next block. But its rows lie :math:`n` numbers apart, each on another page, and powers of two
# fall on the same places of a cache. Step 6 copies the block first, in the tiles' order (Goto & van de Geijn 2008).

climb("gemm_5_blocked")
climb("gemm_6_packed")

# %%
# Step 7: threads
# ---------------
#
# Each thread takes a slice of :math:`C`. Nothing is summed across threads, so every number comes from the same sums in the same
# order: *the same bits for any number of threads*, asserted here. What it gains depends on who else uses the machine.

if threaded := climb("gemm_7_threads"):
    square = normal((LAST, LAST))
    calls = [threaded.gemm(square, square, threads) for threads in (1, 2, 3)]
    for threads, call in enumerate(calls, 1):
        print(f"threads: {threads}, milliseconds: {1e3 * seconds(call.run, LAST, time.perf_counter):.2f}")
        assert np.array_equal(call.result, calls[0].result)

# %%
# The ladder under the roof
# -------------------------
#
# Sizes that fit a cache hide what a step costs in memory; the largest shows it. How often a step fetches the matrices from beyond
# the caches stands in its header: step 1 a line of 16 numbers for each multiply-add, step 2 all of :math:`B` for every row of
# :math:`A`, step 3 for every 4 rows, step 4 for every tile, the others once, with :math:`A` and :math:`C` a few times. So each
# step has an intensity of its own, and the way up is first a way to the right, out from under memory's slope. (A dot above it: a
# cache held more than is counted.)

library = 2 * LAST**3 / seconds(partial(mv.ops.matmul.matmul, a := normal((LAST, LAST)), a), LAST) / 1e9
print(f"the library: {library:.1f} GFLOP/s at {LAST}")
mv.set_num_threads(cores)
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
axes.set(title=f"Products of {LAST} x {LAST} under the roofline", xlabel="operations for each byte moved", ylabel="GFLOP/s")
if machine:
    axes.loglog(roof := np.geomspace(1 / 64, 1024), np.minimum(peak, bandwidth * roof), color="black")
if ready:
    with tempfile.TemporaryDirectory() as folder:
        size = build_steps.blocks(Path(folder))
    blocked = 1 + -(-LAST // size["NC"]) + 2 * -(-LAST // size["KC"])
    passes = [16 * LAST + 2, LAST + 2, LAST / 4 + 2, LAST / size["MR"] + 2, blocked, blocked]  # over n x n numbers
    for i, (times, (name, speeds)) in enumerate(zip(passes, SPEED.items(), strict=False)):
        axes.loglog(LAST / 2 / times, speeds[-1], "o", color=plt.cm.viridis(i / 6), markersize=9, label=name)
    axes.legend(fontsize=9, loc="lower right")
    if not lesson.quick():
        naive, *better = (speeds[-1] for speeds in SPEED.values())
        assert min(better) > 3 * naive
        assert max(better) > 10 * naive
        assert library > max(better) / 3

# %%
# Backwards: a product's gradient is two products
# -----------------------------------------------
#
# A loss gives :math:`C` the cotangent :math:`\bar C`. Move :math:`A` and :math:`B` a little; with :math:`\langle X, Y \rangle =
# \sum_{ij} x_{ij} y_{ij} = \operatorname{tr} X^T Y`, and because a trace may be turned around,
#
# .. math:: dL = \langle \bar C,\, dA\,B + A\,dB \rangle = \langle \bar C B^T, dA \rangle + \langle A^T \bar C, dB \rangle,
#    \qquad \text{so} \qquad \bar A = \bar C B^T, \quad \bar B = A^T \bar C .
#
# Each is :math:`2mnk` operations again: training costs three products where use costs one. The product is linear in :math:`A`, so
# a central difference is exact for a step of *any* length, and this check needs no small number.

A, B, dC, toward = (rng.standard_normal(shape) for shape in [(5, 4), (4, 3), (5, 3), (5, 4)])
dA, dB = dC @ B.T, A.T @ dC
moved = np.sum(dC * ((A + toward) @ B - (A - toward) @ B)) / 2
np.testing.assert_allclose(np.sum(dA * toward), moved, rtol=1e-12)
tA, tB = (mv.tensor(x, requires_grad=True) for x in (A, B))
(tA @ tB).backward(dC)
np.testing.assert_allclose(np.append(tA.grad.data, tB.grad.data), np.append(dA, dB), rtol=1e-12)

# %%
# On digits
# ---------
#
# A linear classifier is one product forwards, images of 64 pixels times weights :math:`(64, 10)`, and one back. With the
# softmax's cross-entropy the logits' cotangent is :math:`p - y`, and :math:`\bar W = X^T (p - y)` adds up images by how wrong
# each was.

digits = mv.data.load("digits")
x, unseen = (np.asarray(images).reshape(-1, 64) for images in (digits.train_images, digits.test_images))
w, y = np.zeros((64, 10), np.float32), np.eye(10, dtype=np.float32)[digits.train_labels]
for _ in range(100):
    w -= 0.5 * x.T @ (mv.functional.softmax(x @ w) - y) / len(x)
right = np.mean(np.argmax(unseen @ w, axis=1) == digits.test_labels)
print(f"after 100 steps of two products each, {right:.1%} of the unseen digits are right")
assert right > 0.9
figure, panels = plt.subplots(2, 5, figsize=(6.5, 3), layout="constrained")
figure.suptitle("The weights of each digit: orange pixels speak for it, purple against")
for digit, axes in enumerate(panels.flat):
    axes.imshow(w[:, digit].reshape(8, 8), cmap="PuOr_r", vmin=-np.abs(w).max(), vmax=np.abs(w).max())
    axes.set(title=digit, xticks=[], yticks=[])

# %%
# Exercises
# ---------
#
# Write them yourself, and have them checked: ``minivision exercise start matmul-loop-order``, and so on. ``matmul-gradient`` and
# ``linear-gradient`` are the two products, with batches and a bias. In C: ``matmul-loop-order`` is step 2, ``matmul-blocks`` step
# 5, ``matmul-packing`` the copying of step 6, and ``matmul-tile`` the tile of step 4.
