r"""
Music Transformer's skew
========================

A motif comes back eight beats later, wherever in a piece it stands. Attention that is told *how far back* a key is can learn this
once for all places, but told naively it needs a vector for every pair of notes. Huang et al. (2019) get the same numbers from a
pad and a reshape. We derive it index by index, draw and measure it, write music as 388 words, and ask what distances are worth.

:Prerequisites: :doc:`05_attention`
"""

import timeit
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, optim
from minivision.generate import generate
from minivision.models.music_transformer import skew
from minivision.text import midi

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# A vector for each distance
# --------------------------
#
# Query :math:`i` looks back at keys :math:`j \le i`. Beside what the key says, its distance has a say (Shaw et al. 2018):
#
# .. math:: y = \operatorname{softmax}\Big(\frac{QK^T + S}{\sqrt{D_h}}\Big) V, \qquad S_{ij} = q_i \cdot e_{i-j} .
#
# The table :math:`E` has the vectors :math:`e_{L-1}, \dots, e_1, e_0`, the farthest first. Naively one gathers the vector of every
# pair, an array of :math:`L \times L \times D` numbers, and multiplies. But :math:`X = QE^T` holds all products already, only at
# other places: column :math:`c` of row :math:`i` is :math:`q_i \cdot e_{L-1-c}`. Each row must move, each by another step.


def naive(q, E):  # (L, D), (L, D) -> (L, L); for keys of the future the vector of distance 0
    distance = np.arange(len(q))[:, None] - np.arange(len(q))
    pairs = E[len(q) - 1 - np.maximum(distance, 0)]  # (L, L, D)
    return (pairs @ q[:, :, None])[..., 0]


def skewed(q, E):  # (L, D), (L, D) -> (L, L)
    X = q @ E.T
    padded = np.pad(X, ((0, 0), (1, 0)))  # (L, L + 1)
    return padded.reshape(len(q) + 1, len(q))[1:]


L, D = 6, 8
q, E = rng.standard_normal((2, L, D))
np.testing.assert_allclose(np.tril(naive(q, E)), np.tril(skewed(q, E)), rtol=1e-12, atol=1e-14)
np.testing.assert_array_equal(skewed(q, E), skew(mv.tensor(q @ E.T)).numpy())

# %%
# Why? In memory the padded rows, :math:`L+1` long, lie one after the other. Entry :math:`(i, j)` of the result is number
# :math:`(i+1)L + j` there, since a row of :math:`L` was dropped. For :math:`j \le i` this is
#
# .. math:: (i+1)L + j = i\,(L+1) + (L - i + j),
#
# row :math:`i`, column :math:`L-i+j` of the padded, column :math:`L-1-(i-j)` of :math:`X`: distance :math:`i-j`, as it should be.
# For :math:`j = i+1` it is the pad of row :math:`i+1`, a zero. For :math:`j > i+1` it is column :math:`j-i-2` of :math:`X`'s row
# :math:`i+1`: garbage, a product of the *next* query, which lies in the future. The causal mask must hide it.

X, S = q @ E.T, skewed(q, E)
for i in range(L):
    for j in range(L):
        assert S[i, j] == (X[i, L - 1 - (i - j)] if j <= i else 0 if j == i + 1 else X[i + 1, j - i - 2])

n, shades = 4, plt.get_cmap("YlGnBu")
number = np.arange(n * n).reshape(n, n)  # of the product q_i e_d: i n + (n - 1 - d)
padded = np.pad(number, ((0, 0), (1, 0)), constant_values=-1)
steps = {"1. X = Q Eᵀ": number, "2. a column": padded, "3. rows of L": padded.reshape(n + 1, n)}
steps |= {"4. without the first": padded.reshape(n + 1, n)[1:], "5. masked": np.where(np.tri(n), padded.reshape(n + 1, n)[1:], -2)}
figure, axes = plt.subplots(1, 5, figsize=(7.5, 2.5), layout="constrained", width_ratios=[4, 5, 4, 4, 4])
for axis, (title, cells) in zip(axes, steps.items(), strict=True):
    for (i, j), cell in np.ndenumerate(cells):
        d = n - 1 - cell % n
        colour = shades(0.15 + 0.2 * d) if cell >= 0 else "white"
        axis.add_patch(plt.Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="grey"))
        text = f"$q_{cell // n}e_{d}$" if cell >= 0 else "0" if cell == -1 else "−∞"
        axis.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8, color="white" if cell >= 0 and d > 2 else "black")
    axis.set(xlim=(-0.05, cells.shape[1] + 0.05), ylim=(5.05, -0.05), aspect="equal")
    axis.set_title(title, fontsize=9)
    axis.axis("off")
figure.suptitle("The skew of L = 4: below the diagonal row i, column j comes to have distance i − j", fontsize=10)

# %%
# With the mask nothing of it is left: whatever the later queries are, the earlier outputs keep their bits. Without it they hear
# the future. And where a piece is longer than the table, the farthest vector is repeated for all that lies beyond.

model = mv.create_model("music_transformer_tiny", num_hidden_layers=1, max_relative_position=4, vocab_size=20).double().eval()
attention, x = model.layers[0].self_attention, rng.standard_normal((2, 1, L, 64))
x[1, :, :4] = x[0, :, :4]  # the same but for the last two events
y = [attention(mv.tensor(each)).numpy() for each in x]
np.testing.assert_array_equal(y[0][:, :4], y[1][:, :4])
q = rng.standard_normal((1, 4, L, 16))
table = attention.key_relative_embeddings.numpy()  # (heads, 4, 16)
longer = np.concatenate([np.repeat(table[:, :1], L - 4, axis=1), table], axis=1)  # (heads, L, 16)
mine = np.stack([np.tril(naive(q[0, head], longer[head])) for head in range(4)])
np.testing.assert_allclose(mine, np.tril(attention.relative_logits(mv.tensor(q), L).numpy()[0]), rtol=1e-10, atol=1e-13)
later = q.copy()
later[:, :, 4:] += 1
moved = [attention.relative_logits(mv.tensor(each), L).numpy()[0] for each in (q, later)]
changed = np.abs(moved[1] - moved[0]).max(0) > 0  # (L, L)
print("rows before the change that hear it without the mask:", np.flatnonzero(changed[:4].any(1)), "- in columns:",
      np.flatnonzero(changed[:4].any(0)))  # fmt: skip
assert not np.tril(changed[:4]).any()
assert changed[3, 5]

# %%
# What it saves
# -------------
#
# Vectors for all pairs are :math:`L^2 D` numbers, the table :math:`L D`. The :math:`L \times L` products themselves are there
# either way, as the scores of attention are. The paper's example has :math:`L = 2048, D = 512` (one layer, all heads). We compute
# that, and measure smaller ones: the most memory that NumPy holds at once, and the time.

for name, count in {"for all pairs": 2048**2 * 512, "for all distances": 2048 * 512}.items():
    print(f"vectors {name}, float32: {4 * count / 1e6:,.1f} MB")
SIZES, WIDTH = [32, 64, 128] if lesson.quick() else [32, 64, 128, 256, 512], 64
held, spent = {}, {}
for way in (naive, skewed):
    for L in SIZES:
        given = rng.standard_normal((2, L, WIDTH)).astype(np.float32)
        tracemalloc.start()
        way(*given)
        held[way, L] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        spent[way, L] = min(timeit.repeat(lambda way=way, given=given: way(*given), number=5, repeat=7)) / 5
figure, axes = plt.subplots(1, 2, figsize=(7, 2.9), layout="constrained")
for axis, measured, scale in zip(axes, (held, spent), (1e6, 1e-3), strict=True):
    for way, marker in ((naive, "o-"), (skewed, "s-")):
        axis.loglog(SIZES, [measured[way, L] / scale for L in SIZES], marker, base=10, markersize=4, label=way.__name__)
    axis.set_xticks(SIZES, labels=SIZES)
    axis.minorticks_off()
    axis.set_xlabel("length L")
axes[0].loglog(SIZES, [4 * L * L * WIDTH / 1e6 for L in SIZES], "k--", linewidth=1, label="$4 L^2 D$ bytes")
axes[0].loglog(SIZES, [4 * L * L / 1e6 for L in SIZES], "k:", linewidth=1, label="$4 L^2$ bytes")
axes[0].set(title=f"Peak of memory, D = {WIDTH}", ylabel="MB")
axes[1].set(title="Time", ylabel="milliseconds")
axes[0].legend(fontsize=8)
L = SIZES[-1]
ratios = held[naive, L] / held[skewed, L], spent[naive, L] / spent[skewed, L]
print(f"L = {L}: {held[naive, L] / 1e6:.1f} against {held[skewed, L] / 1e6:.2f} MB, {ratios[0]:.0f} times less; "
      f"{ratios[1]:.0f} times as fast")  # fmt: skip
assert 4 * L * L * WIDTH < held[naive, L] < 4 * L * L * (WIDTH + 8)
assert held[skewed, L] < 4 * (4 * L * L + 4 * L * WIDTH)
assert lesson.quick() or ratios[1] > 2
