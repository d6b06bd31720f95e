r"""
What attention costs
====================

In attention every token looks at every other. For words that is a few hundred; an image of 224 x 224 has 50,176 pixels. Why can a
transformer not simply read pixels, and what do the ways around it cost? We count multiplications and bytes, then measure both,
and find that the time is a law while most of the memory is only a habit.

:Prerequisites: :doc:`05_attention`, :doc:`08_vit`
"""

import time
import tracemalloc
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, models, nn
from minivision.ops.matmul import matmul  # one thread's, as set here; NumPy's takes as many as it likes

rng = np.random.default_rng(0)
mv.set_num_threads(1)  # processor time is measured below


def normal(*shape):
    return rng.standard_normal(shape, dtype=np.float32)


# %%
# Counting
# --------
#
# For :math:`T` tokens of :math:`D` numbers, :math:`Q K^\top` and the product with :math:`V` take :math:`T^2 D` multiply-adds
# each, and the matrix between them has :math:`T^2` numbers for each head. All else in a transformer is a matrix applied to each
# token: :math:`12\,T D^2` in a block. So a token more costs nothing special until :math:`T` nears :math:`6D`.
#
# BERT reads at most 512 tokens (Devlin et al. 2019). With a pixel a token, or a patch of 16 x 16:

BERT, side, patch, heads = 512, 224, 16, 12
pixels, patches = side**2, (side // patch) ** 2
assert (pixels, patches) == (50_176, 196)
for name, T in [("patches", patches), ("BERT's words", BERT), ("pixels", pixels)]:
    scores = T**2 * heads * 4
    print(f"{name:>12}: {T:6} tokens, {2 * T**2 * 768:.3g} multiply-adds, {scores / 1e6:,.0f} MB of attention for {heads} heads")
lesson.claim("V2", f"{pixels:,} pixels are {pixels / BERT:g} times BERT's {BERT} tokens, at {(pixels / BERT) ** 2:,g} times the "
             f"cost; {patches} patches need {(pixels // patches) ** 2:,} times fewer products than pixels")  # fmt: skip


class Alone(nn.Module):  # attention without its matrices, so that the library counts nothing else
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


for T in (64, 128, 256):
    assert mv.profile(Alone(), (1, T, 48)).macs == 2 * T**2 * 48

# %%
# Measuring: time
# ---------------
#
# The definition in NumPy, and the library's kernel, both on one thread's clock; beside them a linear layer on the same tokens. On
# double logarithmic axes a power law is a line, and its slope the exponent.


def plain(q, k, v):  # (T, D) each -> (T, D)
    s = matmul(q, k.T) / q.shape[-1] ** 0.5  # (T, T)
    p = np.exp(s - s.max(-1, keepdims=True))
    return matmul(p / p.sum(-1, keepdims=True), v)


def seconds(run):
    times = []
    for _ in range(3 if lesson.quick() else 7):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times)


def exponent(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


TOKENS = np.array([256, 512, 1024] if lesson.quick() else [512, 1024, 2048, 4096])
weight = normal(2048, 64)
WAYS = {"plain attention": plain, "the library's kernel": F.scaled_dot_product_attention}
WAYS["a linear layer"] = lambda q, k, v: F.linear(q, weight)
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for name, way in WAYS.items():
    spent = [seconds(partial(way, *normal(3, T, 64))) for T in TOKENS]
    slope = exponent(TOKENS, spent)
    axes.loglog(TOKENS, np.array(spent) * 1e3, "o-", label=f"{name}: exponent {slope:.2f}")
    low, high = (0.7, 1.3) if "linear" in name else (1.5, 2.8)  # above 2 where the matrix no longer fits the caches
    assert lesson.quick() or low < slope < high
axes.set(title="Time grows with the square of the tokens", xlabel="tokens", ylabel="milliseconds", xticks=TOKENS)
axes.set_xticklabels(TOKENS)
axes.minorticks_off()
axes.legend()

# %%
# Measuring: memory
# -----------------
#
# The matrix of :math:`T^2` numbers need not exist. A row of the result is a weighted mean of values; taken a block of keys at a
# time, with the largest score so far as the common shift, it needs one block of scores at once (*online softmax*; the kernel does
# so too).


def tiled(q, k, v, block=128):
    out, total, top = np.zeros_like(q), np.zeros((len(q), 1), q.dtype), np.full((len(q), 1), -np.inf, q.dtype)
    for j in range(0, len(k), block):
        s = matmul(q, k[j : j + block].T) / q.shape[-1] ** 0.5  # (T, block)
        higher = np.maximum(top, s.max(-1, keepdims=True))
        p, shrink, top = np.exp(s - higher), np.exp(top - higher), higher
        out, total = out * shrink + matmul(p, v[j : j + block]), total * shrink + p.sum(-1, keepdims=True)
    return out / total


def peak(run):  # the most bytes in use at once, beyond those from before
    tracemalloc.start()
    run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


WAYS = {"plain attention": plain, "tiled, in NumPy": tiled, "the library's kernel": F.scaled_dot_product_attention}
used = {name: [peak(partial(way, *normal(3, T, 64))) for T in TOKENS] for name, way in WAYS.items()}
x = normal(3, 1000, 64)
np.testing.assert_allclose(tiled(*x), plain(*x), rtol=1e-4, atol=1e-5)
np.testing.assert_allclose(tiled(*x), F.scaled_dot_product_attention(*x), rtol=1e-4, atol=1e-5)
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for name, most in used.items():
    axes.loglog(TOKENS, np.array(most) / 2**20, "o-", label=f"{name}: exponent {exponent(TOKENS, most):.2f}")
matrix, result = 4 * TOKENS**2, 4 * TOKENS * 64  # bytes
assert np.all(used["plain attention"] > 2 * matrix)
assert mv.get_backend() != "c" or np.all(used["the library's kernel"] < 2 * result)
assert 1.9 < exponent(TOKENS, used["plain attention"]) < 2.1
assert 0.9 < exponent(TOKENS, used["tiled, in NumPy"]) < 1.1
axes.set(title="Memory need not", xlabel="tokens", ylabel="MiB at the peak", xticks=TOKENS)
axes.set_xticklabels(TOKENS)
axes.minorticks_off()
axes.legend()

# %%
# The non-local block is attention
# --------------------------------
#
# Before ViT, attention came into vision as the *non-local block* (Wang et al. 2018), defined position by position on a feature
# map:
#
# .. math:: y_i = \frac{1}{\sum_j f(x_i, x_j)} \sum_j f(x_i, x_j)\, g(x_j), \qquad
#           f(x_i, x_j) = e^{\theta(x_i)^\top \phi(x_j)}, \qquad z_i = W_z\, y_i + x_i ,
#
# with :math:`\theta, \phi, g` convolutions of one pixel. Written as it stands, with a loop over positions, on a 14 x 14 map:

C, H, W = 64, 14, 14
x = mv.tensor(rng.standard_normal((1, C, H, W)))
theta, phi, g = (nn.Conv2d(C, C // 2, 1).double() for _ in range(3))
back = nn.Conv2d(C // 2, C, 1).double()
t, f, v = (layer(x).data[0] for layer in (theta, phi, g))  # (C/2, H, W) each
y = np.zeros_like(v)
for i in np.ndindex(H, W):
    weights = np.exp(np.einsum("c,chw->hw", t[:, i[0], i[1]], f))  # f(x_i, x_j) for every j
    y[:, i[0], i[1]] = np.einsum("hw,chw->c", weights, v) / weights.sum()
block = back(mv.tensor(y[None])) + x

tokens = x.flatten(2).transpose(1, 2)  # (1, 196, C)
q, k, v = (F.linear(tokens, layer.weight.flatten(1), layer.bias) for layer in (theta, phi, g))
attended = F.scaled_dot_product_attention(q, k, v, scale=1.0)  # the block does not divide by sqrt(D)
residual = F.linear(attended, back.weight.flatten(1), back.bias) + tokens
np.testing.assert_allclose(residual.transpose(1, 2).reshape(1, C, H, W).data, block.data, rtol=1e-9, atol=1e-12)
gap = np.abs(residual.transpose(1, 2).reshape(1, C, H, W).data - block.data).max()
lesson.claim("A1", f"a non-local block on a {H} x {W} map equals attention over {tokens.shape[1]} positions to {gap:.0e}")

# %%
# Along one axis at a time
# ------------------------
#
# Axial attention (Ho et al. 2019; Wang et al. 2020) lets a pixel look along its row, then along its column. Of :math:`n = HW`
# pixels each has :math:`W + H` scores (its own twice) in place of :math:`HW`. A row is a sequence of its own, so rows are just a
# batch:


def axial(q, k, v):  # (H, W, D) each -> the two results, and the scores that were computed
    columns = [a.transpose(1, 0, 2) for a in (q, k, v)]  # (W, H, D)
    scores = sum((a @ b.transpose(0, 2, 1)).size for a, b in ((q, k), columns[:2]))
    return F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(*columns).transpose(1, 0, 2), scores


counts = []
for H, W in [(14, 14), (8, 20), (1, 30), (28, 28)]:
    q, k, v = rng.standard_normal((3, H, W, 16))
    along_rows, along_columns, scores = axial(q, k, v)
    row, column = np.divmod(np.arange(H * W), W)  # of each pixel
    allowed = row[:, None] == row, column[:, None] == column  # the same as masks of full attention, (HW, HW) each
    for mask, mine in zip(allowed, (along_rows, along_columns), strict=True):
        full = F.scaled_dot_product_attention(*(a.reshape(-1, 16) for a in (q, k, v)), attn_mask=mask)
        np.testing.assert_allclose(mine.reshape(-1, 16), full, rtol=1e-9, atol=1e-12)
    assert scores == allowed[0].sum() + allowed[1].sum() == H * W * (H + W)
    counts.append(f"{scores:,} for {(H * W) ** 2:,} on {H} x {W}")
lesson.claim("A2", f"scores counted by construction, n (H + W) for n H W: {'; '.join(counts)}")

# %%
# Patches: the square in the square
# ---------------------------------
#
# A patch of side :math:`P` makes :math:`T = (224/P)^2` tokens. Halve it, and there are 4 times the tokens, 4 times the work of
# the matrices and 16 times that of attention's products. ViT-Base's multiply-adds, counted by the library where that is quick and
# by the formula of :doc:`08_vit` beyond:

D, L, SIDES = 768, 12, np.array([32, 16, 8, 4, 2, 1])
T = 1 + (224 // SIDES) ** 2
shares = np.array([L * 12 * T * D**2 + (T - 1) * SIDES**2 * 3 * D + 1000 * D, L * 2 * T**2 * D])  # matrices, products
for i, published in enumerate([models.entry("vit_base_patch32_224"), models.entry("vit_base_patch16_224")]):
    model = mv.create_model(published.name)
    assert shares[:, i].sum() == mv.profile(model, (3, 224, 224)).macs == published.macs
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
axes.loglog(SIDES, shares.T / 1e9, "o-", label=["matrices applied to each token", "attention's two products"])
axes.axvline(224 / (6 * D) ** 0.5, color="grey", linestyle=":", label="where the tokens are 6 D")
axes.set(title="ViT-Base by the side of its patches, 224 pixels", xlabel="pixels along a patch", ylabel="thousand million MACs")
axes.set_xticks(SIDES, SIDES)
axes.minorticks_off()
axes.invert_xaxis()
axes.legend()
print("a patch of", ", ".join(f"{P}: {total:,.0f} GMACs" for P, total in zip(SIDES, shares.sum(0) / 1e9, strict=True)))
assert np.all((shares[1] > shares[0]) == (SIDES < 224 / (6 * D) ** 0.5))

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``attention-macs``: what attention costs, for any batch and any two lengths.
# ``convolution-macs``: the same for a convolution in groups. ``window-partition``: windows side by side, the other way to bound
# the cost. ``attention-without-matrix``: attention that keeps one number a row, so that its gradient needs no matrix.
