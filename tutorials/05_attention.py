r"""
Softmax and attention: stable, in one pass, and without the matrix
==================================================================

Attention lets every token ask all others, and gather a weighted mean of what they say. Its weights are a softmax, which overflows
when it is written as it is defined, and a matrix that grows with the square of the sequence. How does one compute all of it,
forwards and backwards, with no number too large and without ever holding that matrix?

:Prerequisites: :doc:`03_matmul`
"""

import tempfile
import time
import timeit
import tracemalloc
from functools import reduce
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn
from minivision.classroom.c_file import build_steps  # compiles and calls the steps in csrc

# %%
# Softmax, stable, and its gradient
# ---------------------------------
#
# .. math:: y_i = \frac{e^{x_i}}{\sum_j e^{x_j}} = \frac{e^{x_i - t}}{\sum_j e^{x_j - t}} \quad \text{for every } t, \qquad
#    L = \log \sum_j e^{x_j} = t + \log \sum_j e^{x_j - t}, \qquad y_i = e^{x_i - L} .
#
# In float64 :math:`e^{710}` is infinite, in float32 :math:`e^{89}` is, and infinity by infinity is no number. With :math:`t =
# \max x` no exponent is above 0 and the sum is at least 1: nothing overflows, and nothing is divided by 0. The *log-sum-exp*
# :math:`L` is a soft maximum, and with it the softmax needs no quotient at all. The gradient of :math:`L` is the softmax itself.
# So :math:`y_i = e^{x_i - L}` has the derivatives :math:`\partial y_i / \partial x_j = y_i (\delta_{ij} - y_j)`. A cotangent
# :math:`\bar y` goes back to
#
# .. math:: \bar x_j = \sum_i \bar y_i\, y_i (\delta_{ij} - y_j) = y_j \left( \bar y_j - \langle \bar y, y \rangle \right) .
#
# What all outputs have in common is taken off: a softmax does not feel a constant. Where :math:`y` is near 0 or 1, nothing comes
# back.

rng = np.random.default_rng(0)
x = 1000 * rng.standard_normal((5, 7))
with np.errstate(over="ignore", invalid="ignore"):
    assert np.isnan(np.exp(x) / np.exp(x).sum(-1, keepdims=True)).any()
t = x.max(-1, keepdims=True)
L = t + np.log(np.exp(x - t).sum(-1, keepdims=True))
np.testing.assert_allclose(np.exp(x - L), F.softmax(x), rtol=1e-12)
x, dy = rng.standard_normal((2, 6))
y = F.softmax(x)
dx = y * (dy - dy @ y)
F.softmax(tx := mv.tensor(x, requires_grad=True)).backward(dy)
np.testing.assert_allclose(dx, tx.grad.data, rtol=1e-12)

# %%
# In one pass
# -----------
#
# The maximum must be known before the first exponential: are two passes needed? Suppose a part of the numbers is done: its
# maximum :math:`t`, the sum :math:`l` of its :math:`e^{x - t}`, and the sum :math:`o` of its :math:`e^{x - t} v`, if a value
# :math:`v` belongs to each. A larger maximum :math:`t'` turns every :math:`e^{x - t}` into :math:`e^{x - t} e^{t - t'}`: *one*
# factor corrects all that was summed. So two parts become one,
#
# .. math:: t^* = \max(t, t'), \qquad l^* = l\, e^{t - t^*} + l' e^{t' - t^*}, \qquad o^* = o\, e^{t - t^*} + o' e^{t' - t^*},
#
# in any order, however they were cut (Milakov & Gimelshein 2018). In the end the mean is :math:`o / l`, :math:`L = t + \log l`.


def part(s, v):  # scores (M, N), values (N, E) -> t (M, 1), l (M, 1), o (M, E)
    t = s.max(-1, keepdims=True)
    e = np.exp(s - t)
    return t, e.sum(-1, keepdims=True), e @ v


def merge(a, b):
    t = np.maximum(a[0], b[0])
    return t, *(x * np.exp(a[0] - t) + y * np.exp(b[0] - t) for x, y in zip(a[1:], b[1:], strict=True))


s, v = 50 * rng.standard_normal((4, 90)), rng.standard_normal((90, 3))
pieces = [part(s[:, i : i + 10], v[i : i + 10]) for i in range(0, 90, 10)]
for _, l, o in (part(s, v), reduce(merge, pieces), reduce(merge, pieces[::-1])):
    np.testing.assert_allclose(o / l, F.softmax(s) @ v, rtol=1e-12, atol=1e-14)

# %%
# Attention, and why it divides by a root
# ---------------------------------------
#
# Queries, keys, values: :math:`O = \operatorname{softmax}(Q K^T / \sqrt d)\, V` (Vaswani et al. 2017, eq. 1). A score is a sum of
# :math:`d` products; of independent numbers with mean 0 and variance 1, it has variance :math:`d`. For wide tokens the scores lie
# far apart, the softmax takes the largest, and its gradient vanishes, as seen above. Division by :math:`\sqrt d` brings the
# variance back to 1. Measured: the norm of the softmax's Jacobian, over 200 queries to 64 keys, half of them in the band.

widths, scaled, plain = 2 ** np.arange(2, 11), [], []
for d in widths:
    q, k = rng.standard_normal((200, d)), rng.standard_normal((200, 64, d))
    s = np.einsum("nd,njd->nj", q, k)
    assert 0.7 < s.var() / d < 1.4
    for scale, found in [(d**-0.5, scaled), (1, plain)]:
        y = F.softmax(s * scale)
        jacobians = y[:, :, None] * (np.eye(64) - y[:, None, :])
        found.append(np.quantile(np.linalg.norm(jacobians, axis=(1, 2)), [0.25, 0.5, 0.75]))
assert scaled[-1][1] > 100 * plain[-1][1]
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for name, style, found in [("divided by the root of d", "o-", scaled), ("as they are", "s--", plain)]:
    axes.loglog(widths, np.array(found)[:, 1], style, label=name)
    axes.fill_between(widths, *np.transpose(found)[::2], alpha=0.2)
axes.set(title="How much gradient a softmax lets through", xlabel="width d of queries and keys", ylabel="norm of the Jacobian")
axes.legend(title="scores", fontsize=9)

# %%
# Without the matrix
# ------------------
#
# Tiles of queries meet tiles of keys, and of the :math:`M \times N` weights one tile exists at a time (Dao et al. 2022). What
# NumPy asks for at most is measured. In C, step 1 holds all scores, step 2 is one pass over single keys, step 3 makes tiles by
# matrix products: saving bytes pays once the arithmetic is fast.


def attend(q, k, v, tile=64):  # (M, D), (N, D), (N, E) -> O (M, E), L (M, 1)
    rows = []
    for i in range(0, len(q), tile):
        tiles = (part(q[i : i + tile] @ k[j : j + tile].T / q.shape[1] ** 0.5, v[j : j + tile]) for j in range(0, len(k), tile))
        t, l, o = reduce(merge, tiles)
        rows.append((o / l, t + np.log(l)))
    return [np.concatenate(each) for each in zip(*rows, strict=True)]


lengths = [128, 256] if lesson.quick() else [128, 256, 512, 1024, 2048]
runs = {"with the matrix": lambda q, k, v: F.softmax(q @ k.T / q.shape[1] ** 0.5) @ v, "in tiles": attend}
runs["the library"] = F.scaled_dot_product_attention
memory = {name: [] for name in runs}
for name, run in runs.items():
    for n in lengths:
        q, k, v = rng.standard_normal((3, n, 32))
        tracemalloc.start()
        run(q, k, v)
        memory[name].append(tracemalloc.get_traced_memory()[1] / 1e6)  # at most, beyond what was there before
        tracemalloc.stop()
    print(f"{name:<16}", *(f"{n} tokens: {used:.2f} MB  " for n, used in zip(lengths, memory[name], strict=True)))
np.testing.assert_allclose(attend(q, k, v)[0], F.scaled_dot_product_attention(q, k, v), rtol=1e-10, atol=1e-12)
assert memory["with the matrix"][-1] >= 8e-6 * n * n
assert lesson.quick() or memory["in tiles"][-1] < memory["with the matrix"][-1] / 20
print("In C:" if (ready := build_steps.compiler() is not None) else "There is no C compiler here: the steps are not timed.")
q, k, v = rng.standard_normal((3, 2 if lesson.quick() else 24, 197, 64), dtype=np.float32)
times, exact = [], F.scaled_dot_product_attention(*(x.astype(np.float64) for x in (q, k, v)))
bound = 2.0**-24 * (2 * 66 * np.max(np.abs(q) @ np.abs(k).swapaxes(1, 2)) / 8 + 4 * 197) * np.abs(v).max()  # of rounding
for name in build_steps.names("attention") if ready else []:
    with tempfile.TemporaryDirectory() as folder:
        call = build_steps.load(build_steps.HERE / f"{name}.c", Path(folder)).attention(q, k, v)
    times.append(min(timeit.repeat(call.run, timer=time.thread_time, repeat=3, number=1)))
    print(f"{name:<19}{4 * q.size * 197 / times[-1] / 1e9:6.1f} GFLOP/s, {call.space.nbytes / 1e6:.2f} MB of room")
    assert np.abs(call.result - exact).max() <= bound
assert lesson.quick() or not ready or 1.5 * times[2] < min(times[:2])

# %%
# Backwards, still without the matrix
# -----------------------------------
#
# With :math:`S = Q K^T / \sqrt d`, :math:`P = e^{S - L}` and :math:`O = PV`: the product gives :math:`\bar V = P^T \bar O` and
# :math:`\bar P = \bar O V^T`, the softmax :math:`\bar S = P (\bar P - D)`, where :math:`D` is a sum over all keys. Or is it?
#
# .. math:: D_i = \sum_j P_{ij} \bar P_{ij} = \sum_j P_{ij} \sum_e \bar O_{ie} V_{je} = \sum_e \bar O_{ie} \sum_j P_{ij} V_{je}
#    = \langle \bar O_i, O_i \rangle .
#
# So :math:`O` and one number :math:`L_i` for each query are enough, and any tile of :math:`P` is made anew.


def attend_backward(dO, q, k, v, O, L, tile=64):
    root, D = q.shape[1] ** 0.5, np.sum(dO * O, -1, keepdims=True)
    dq, dk, dv = (np.zeros_like(x) for x in (q, k, v))
    for i in (slice(start, start + tile) for start in range(0, len(q), tile)):  # for long sequences, tiles of keys as well
        p = np.exp(q[i] @ k.T / root - L[i])
        ds = p * (dO[i] @ v.T - D[i]) / root
        dq[i], dk, dv = ds @ k, dk + ds.T @ q[i], dv + p.T @ dO[i]
    return dq, dk, dv


q, k, v, dO = (rng.standard_normal(shape) for shape in [(150, 16), (200, 16), (200, 8), (150, 8)])
F.scaled_dot_product_attention(*(tensors := [mv.tensor(x, requires_grad=True) for x in (q, k, v)])).backward(dO)
for tensor, mine in zip(tensors, attend_backward(dO, q, k, v, *attend(q, k, v)), strict=True):
    np.testing.assert_allclose(mine, tensor.grad.data, rtol=1e-10, atol=1e-12)

# %%
# What attention does not see
# ---------------------------
#
# Shuffle the tokens, and the results are shuffled, no more: *permutation equivariance*. A *causal* mask gives tokens an order,
# and hides from each all that come later. What is hidden has no influence, to the last bit, and gets no gradient.

x, order, later = rng.standard_normal((20, 16)), rng.permutation(20), np.arange(20) >= 12
np.testing.assert_allclose(attend(x[order], x[order], x[order])[0], attend(x, x, x)[0][order], rtol=1e-12, atol=1e-14)
other, tx = x + later[:, None], mv.tensor(x, requires_grad=True)
y, changed = (F.scaled_dot_product_attention(each, each, each, is_causal=True) for each in (tx, other))
np.testing.assert_array_equal(y.data[~later], changed[~later])
y[:12].sum().backward()
np.testing.assert_array_equal(np.any(tx.grad.data, axis=1), ~later)

# %%
# On digits: rows as tokens
# -------------------------
#
# An image is a sentence of 8 rows. One layer of attention reads it, with and without a learned vector for each place. Without, a
# digit with its rows shuffled is the *same* digit to it: asserted. What that costs is measured.


class Reader(nn.Module):
    def __init__(self, places):
        super().__init__()
        self.embed, self.heads, self.classify = nn.Linear(8, 32), nn.Linear(32, 96), nn.Linear(32, 10)
        self.places = nn.Parameter((8, 32), nn.init.normal(0.0, 0.5)) if places else 0.0

    def forward(self, rows):
        x = self.embed(rows) + self.places  # (B, 8, 32)
        q, k, v = self.heads(x).chunk(3, -1)
        self.weights = F.softmax(q @ k.T / 32**0.5)  # (B, 8, 8)
        return self.classify(F.relu(x + self.weights @ v).mean(1))


digits = mv.data.load("digits")
found, unseen = {False: [], True: []}, mv.tensor(np.asarray(digits.test_images)[:, 0])
for seed, places in np.ndindex(1 if lesson.quick() else 3, 2):
    mv.manual_seed(seed)
    model, rng = Reader(places), np.random.default_rng(seed)
    optimiser = mv.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(1 if lesson.quick() else 20):
        for images, labels in mv.data.batches(digits, 64, rng):
            optimiser.zero_grad()
            F.cross_entropy(model(mv.tensor(images[:, 0])), labels).backward()
            optimiser.step()
    shuffled, answers = model(unseen[:, rng.permutation(8)]).data, model(unseen).data
    found[places].append(100 * np.mean(np.argmax(answers, 1) == digits.test_labels))
    assert (np.abs(shuffled - answers).max() < 1e-4 * np.abs(answers).max()) != places
print(*(f"% right {'with' if key else 'without'} places: {np.round(shares, 1)}" for key, shares in found.items()), sep="\n")
assert lesson.quick() or min(found[True]) > max(found[False]) + 2
figure, (left, right) = plt.subplots(1, 2, figsize=(6.5, 3.2), layout="constrained")
left.imshow(digits.test_pixels[0, 0], cmap="gray")
right.imshow(model.weights.data[0], cmap="viridis")
left.set(title="a digit", ylabel="row")
right.set(title="how much row i asks of row j", xlabel="row j", ylabel="row i")

# %%
# Exercises
# ---------
#
# ``minivision exercise start softmax``, then ``softmax-gradient``, ``log-softmax-gradient``, ``attention-gradient``. In C, the
# three steps: ``attention-softmax``, ``attention-online``, ``attention-fold``.
