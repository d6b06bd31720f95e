r"""
Where is a token? Four answers
==============================

Attention takes a mean over a set: it does not know which token stands where. We show what is lost without places, derive what
sines and cosines have for them, and train a task that needs order with sinusoids, learned places, distances and recurrence: at
the length of training, and at twice that. Which answers still hold there?

:Prerequisites: :doc:`05_attention`, :doc:`38_transformer`
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim
from minivision.models.music_transformer import skew
from minivision.models.transformer import rotation, sinusoids

mv.set_num_threads(1)  # so small a network is not worth a second thread
mv.manual_seed(0)
rng = np.random.default_rng(0)

# %%
# What attention does not know
# ----------------------------
#
# Let :math:`P` shuffle rows. With scores :math:`S = X A X^T` the shuffled tokens :math:`P X` have :math:`P S P^T`, and so
#
# .. math:: \operatorname{softmax}(P S P^T)\, P X W = P \operatorname{softmax}(S)\, P^T P X W = P \operatorname{softmax}(S) X W .
#
# Shuffled in, shuffled out; the other layers read token by token. To a whole encoder, *exactly*, a sentence is a bag of words.
# A causal mask breaks this, for then it matters who stands before whom.

model, order, x = mv.create_model("transformer_tiny").double(), rng.permutation(9), rng.standard_normal((1, 9, 32))
for read, exact in ((model.encoder, True), (lambda tokens: model.decoder(tokens, mv.tensor(x)), False)):
    shuffled, straight = (read(mv.tensor(each)).numpy() for each in (x[:, order], x))
    assert (np.abs(shuffled - straight[:, order]).max() < 1e-12) == exact

# %%
# Sines and cosines
# -----------------
#
# Vaswani et al. (2017, section 3.5) add pairs of numbers to a token, each the hand of a clock with a frequency of its own,
#
# .. math:: PE(p)_{2i} = \sin(p\, \omega_i), \qquad PE(p)_{2i+1} = \cos(p\, \omega_i), \qquad \omega_i = 10000^{-2i/d} .
#
# Why? To go on by :math:`k` places turns each hand by :math:`k \omega_i`, wherever it stood:
#
# .. math:: \begin{pmatrix} \sin((p + k) \omega) \\ \cos((p + k) \omega) \end{pmatrix} =
#           \begin{pmatrix} \cos k\omega & \sin k\omega \\ -\sin k\omega & \cos k\omega \end{pmatrix}
#           \begin{pmatrix} \sin p\,\omega \\ \cos p\,\omega \end{pmatrix} .
#
# So :math:`PE(p + k) = R_k\, PE(p)` with *one* matrix for all :math:`p`: a linear layer can say "three places before". And
# :math:`PE(p) \cdot PE(q) = \sum_i \cos((p - q)\, \omega_i)` depends on the distance alone.


def clocks(length, d):  # (length, d)
    p, i = np.arange(length)[:, None], np.arange(d)
    return np.where(i % 2, np.cos(p * 10000.0 ** (-(i - 1) / d)), np.sin(p * 10000.0 ** (-i / d)))


def turn(k, d):  # R_k (d, d)
    R = np.zeros((d, d))
    for i, a in zip(range(0, d, 2), k * 10000.0 ** (-np.arange(0, d, 2) / d), strict=True):
        R[i : i + 2, i : i + 2] = [[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]
    return R


np.testing.assert_allclose(PE := clocks(200, 64), sinusoids(200, 64), rtol=0, atol=1e-12)
for k in (1, 7, 50, -13):
    np.testing.assert_allclose(turn(k, 64), rotation(k, 64), rtol=0, atol=1e-14)
    np.testing.assert_allclose(PE[20:140] @ turn(k, 64).T, PE[20 + k : 140 + k], rtol=0, atol=1e-12)
    np.testing.assert_allclose(turn(k, 64) @ turn(3, 64), turn(k + 3, 64), rtol=0, atol=1e-12)  # turns add up
waves = np.cos(np.subtract.outer(range(200), range(200))[..., None] * 10000.0 ** (-np.arange(0, 64, 2) / 64))  # (p, q, i)
np.testing.assert_allclose(PE @ PE.T, waves.sum(-1), rtol=0, atol=1e-11)
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), layout="constrained")
axes[0].imshow(PE[:100].T, cmap="RdBu_r", aspect="auto")
axes[0].set(title="Sinusoids, 64 wide", xlabel="place p", ylabel="channel")
for p, style in ((60, "-"), (100, "--"), (140, ":")):
    axes[1].plot(np.arange(-60, 60), (PE @ PE[p])[p - 60 : p + 60] / 32, style, label=f"p = {p}")
axes[1].set(title="PE(p) · PE(q) by distance", xlabel="q - p", ylabel="share of PE(p) · PE(p)")
axes[1].legend(fontsize=9)

# %%
# Four kinds
# ----------
#
# *Sinusoids* are added to tokens; so is a *learned* table, a row for each place (BERT, GPT-2). *Relative* positions give the
# scores a learned vector for each distance, :math:`s_{ij} = (q_i k_j + q_i e_{i-j}) / \sqrt{d_k}` (Shaw et al. 2018; so in the
# Music Transformer, lesson 45), the last one for all beyond. *Recurrence*: a GRU (Cho et al. 2014) reads token by token. The
# others are two layers of attention with a causal mask; a fifth has nothing but that.

N, D, HEADS, LETTERS, BACK = 16, 32, 2, 8, 3


class Attention(nn.Module):
    def __init__(self, relative):
        super().__init__()
        self.norm1, self.norm2, self.qkv, self.out = nn.LayerNorm(D), nn.LayerNorm(D), nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 2 * D), nn.Linear(2 * D, D)
        self.far = nn.Parameter((N, D // HEADS), nn.init.normal(std=0.1)) if relative else None  # e_0, e_1, ..., e_(N - 1)

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = (each.reshape(B, T, HEADS, -1).transpose(1, 2) for each in self.qkv(self.norm1(x)).chunk(3, -1))
        t, s = np.indices((T, T))
        scores = np.where(s <= t, 0, -np.inf).astype(x.dtype)
        if self.far is not None:
            scores = scores + self.by_distance(q, np.clip(t - s, 0, N - 1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, scores).transpose(1, 2).flatten(2))
        return x + self.down(F.relu(self.up(self.norm2(x))))

    def by_distance(self, q, away):  # q_i e_(i - j) / sqrt(d_k), (B, h, T, T)
        return np.einsum("bhtd,tsd->bhts", q, self.far[away]) * q.shape[-1] ** -0.5


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.recall = nn.Linear(D, 3 * D), nn.Linear(D, 3 * D)

    def forward(self, x):
        h, states = mv.tensor(np.zeros((x.shape[0], D), x.dtype)), []
        for now in self.read(x).unbind(1):
            (a, b, c), (e, f, g) = now.chunk(3, -1), self.recall(h).chunk(3, -1)
            keep = F.sigmoid(a + e)
            h = keep * h + (1 - keep) * F.tanh(c + F.sigmoid(b + f) * g)
            states.append(h)
        return np.stack(states, 1)


class Reader(nn.Module):
    def __init__(self, kind, answers=LETTERS):
        super().__init__()
        self.kind, self.table, self.norm, self.head = kind, nn.Embedding(LETTERS + 1, D), nn.LayerNorm(D), nn.Linear(D, answers)
        self.layers = Recurrent() if kind == "recurrent" else nn.Sequential(*(Attention(kind == "relative") for _ in range(2)))
        self.places = nn.Parameter((2 * N, D), nn.init.normal(std=0.5)) if kind == "learned" else None
        nn.init.normal_(self.table.weight, std=0.5)

    def forward(self, tokens):
        x = self.table(tokens)
        if self.kind in ("sinusoid", "learned"):
            x = x + (sinusoids(*x.shape[1:]).astype(x.dtype) if self.places is None else self.places[: x.shape[1]])
        return self.head(self.norm(self.layers(x)))


layer = Attention(relative=True).double()
q = mv.tensor(rng.standard_normal((1, HEADS, N, D // HEADS)))
mine = layer.by_distance(q, np.maximum(np.subtract.outer(np.arange(N), np.arange(N)), 0)).numpy()
library = skew(q @ layer.far[::-1].T).numpy() * (D // HEADS) ** -0.5  # column c is of distance N - 1 - c
np.testing.assert_allclose(np.tril(mine), np.tril(library), atol=1e-12)

# %%
# Which letter stood three places before?
# ---------------------------------------
#
# Random letters; at each place the answer is the letter three places back, which nothing but order tells. Trained on texts of
# 16, asked on new ones of 32; all kinds take the same steps at the same rate.

SEEDS, STEPS = (1, 10) if lesson.quick() else (3, 400)
KINDS = ("sinusoid", "learned", "relative", "recurrent", "mask alone")


def trained(model, seed, texts, steps=STEPS):  # texts(rng) -> tokens (B, T), answers (B, T), the first place that counts
    draw, optimiser = np.random.default_rng(seed), optim.Adam(model.parameters(), lr=0.01)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.01 * min(1, (step + 1) / 40) * (1 - step / steps)
        tokens, answers, first = texts(draw)
        optimiser.zero_grad()
        F.cross_entropy(model(tokens)[:, first:].flatten(0, 1), answers[:, first:].reshape(-1)).backward()
        optimiser.step()
    return model


def letters(draw):
    tokens = draw.integers(LETTERS, size=(32, N))
    return tokens, np.roll(tokens, BACK, axis=1), BACK


asked = np.random.default_rng(99).integers(LETTERS, size=(300, 2 * N))
right, models = np.zeros((len(KINDS), SEEDS, 2 * N - BACK)), {}
for (number, kind), seed in itertools.product(enumerate(KINDS), range(SEEDS)):
    mv.manual_seed(seed)
    models[kind, seed] = model = trained(Reader(kind), seed, letters)
    right[number, seed] = np.mean(model(asked).numpy().argmax(-1)[:, BACK:] == asked[:, :-BACK], axis=0)
    assert kind != "learned" or not model.places.grad.numpy()[N:].any()  # no text reached these rows: they are as drawn
figure, axis = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for kind, runs, style in zip(KINDS, right, ("-", "-", "-", "--", "-"), strict=True):
    axis.plot(np.arange(BACK, 2 * N), 100 * runs.mean(0), style, label=kind)
    axis.fill_between(np.arange(BACK, 2 * N), 100 * runs.min(0), 100 * runs.max(0), alpha=0.2)
axis.axvline(N - 0.5, color="k", linewidth=0.8, linestyle="--")
axis.set(xlabel="place (dashed: the end of training texts)", ylabel=f"right answers (%), {SEEDS} seeds")
axis.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
inside, beyond = right[..., :-N].mean(-1), right[..., -N:].mean(-1)  # (kinds, seeds)
for number, kind in enumerate(KINDS):
    print(f"{kind:>10}: up to {N} places {inside[number].round(3)}, from there to {2 * N} {beyond[number].round(3)}")
if not lesson.quick():
    assert min(inside[:4].min(), beyond[2:4].min()) > 0.95  # all four kinds; relative and recurrent
    assert beyond[:2].max() < 0.5  # sinusoid and learned

# %%
# Within the length of training all four do (chance is an eighth). Beyond it distances go on, and so does reading step by step.
# The learned table has nothing to say. Sinusoids do go on, and :math:`R_k` with them, but nothing asked for a layer that turns at
# *all* places: that they may extrapolate is the paper's hope (section 3.5), which does not come true here. Now what was learned:
# the cosine of any two places, from -1 (blue) to 1 (red), and the mean score that queries give each distance. Learned places are
# strangers to each other: the task asks which is which, not which are near.

learned, relative = models["learned", 0], models["relative", 0]
rows = learned.places.numpy()[:N] / np.linalg.norm(learned.places.numpy()[:N], axis=1, keepdims=True)
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), layout="constrained")
for axis, table, title in zip(axes, (sinusoids(N, D) / (D / 2) ** 0.5, rows), ("sinusoids", "learned places"), strict=False):
    axis.imshow(table @ table.T, cmap="RdBu_r", vmin=-1, vmax=1)
    axis.set(title=title, xlabel="place q", ylabel="place p")
x = relative.table(asked[:, :N])
for number, layer in enumerate(relative.layers):
    q = layer.qkv(layer.norm1(x))[..., :D].reshape(-1, HEADS, D // HEADS).numpy()
    for head, scores in enumerate((q.mean(0) @ layer.far.numpy().T) * (D // HEADS) ** -0.5):
        axes[2].plot(scores, ".-", label=f"{number + 1}.{head + 1}", markersize=4)
    x = layer(x)
axes[2].set(title="relative", xlabel="distance", ylabel="mean score")
axes[2].legend(title="layer.head", fontsize=7, title_fontsize=7)

# %%
# A mask can count. If the first token is marked, place :math:`t` can give it a weight of :math:`1 / (t + 1)`, and so know
# :math:`t`: possible, and still this kind did not learn to look back. Asked for their own place among random letters:


def places(draw):
    tokens = np.column_stack([np.full(32, LETTERS), draw.integers(LETTERS, size=(32, N - 1))])
    return tokens, np.tile(np.arange(N), (32, 1)), 0


counted = []
for seed in range(SEEDS):
    mv.manual_seed(seed)
    model, (tokens, answers, _) = trained(Reader("mask alone", N), seed, places), places(np.random.default_rng(99))
    counted.append(np.mean(model(tokens).numpy().argmax(-1) == answers))
print(f"the mask alone: {np.round(counted, 3)} of {N} places are told right, by seeds; by chance {1 / N:.3f}")
assert lesson.quick() or min(counted) > 0.95

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``positions-sinusoids``: hands of clocks. ``positions-rotation``: one matrix to go
# on by k places. ``positions-embed``: a token's row, its scale, and its place.
