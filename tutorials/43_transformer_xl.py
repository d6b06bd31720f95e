r"""
Transformer-XL: longer than a window
====================================

A Transformer reads so many tokens at once, and a text is longer. Cut it into segments, and the first token of each is told from
nothing: at every cut the context is lost. Transformer-XL (Dai et al. 2019) remembers what its layers read before. We write its
layer by hand, find out exactly how far it sees, and let it read what repeats beyond a segment.

:Prerequisites: :doc:`05_attention`, :doc:`40_gpt2`
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import lesson, nn, optim, schedule
from minivision.models import transformer_xl
from minivision.models.adaptive_softmax import AdaptiveSoftmax, Clusters

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# Where, without numbers
# ----------------------
#
# Let token :math:`i` have a vector :math:`e_i`, and its place another, :math:`p_i`. The score of query i and key j is
#
# .. math:: (e_i + p_i) W_q \cdot (e_j + p_j) W_k = \underbrace{e_i W_q \cdot e_j W_k}_a + \underbrace{e_i W_q \cdot p_j W_k}_b
#           + \underbrace{p_i W_q \cdot e_j W_k}_c + \underbrace{p_i W_q \cdot p_j W_k}_d .
#
# Places counted from 1 in each segment tell the third token of this segment and the third of the one before the same. So three
# things change (section 3.3). A key's place becomes a distance, :math:`p_j \to R_{i-j}`. A query's place no longer matters, so
# :math:`p_i W_q` is the same for all: one learned vector :math:`u` in (c), another, :math:`v`, in (d). And distances have keys
# of their own, :math:`W_R`. With :math:`q_i = h_i W_q` and :math:`k_j = h_j W_k` there remains
#
# .. math:: A_{ij} = \underbrace{q_i \cdot k_j}_a + \underbrace{q_i \cdot R_{i-j} W_R}_b
#           + \underbrace{u \cdot k_j}_c + \underbrace{v \cdot R_{i-j} W_R}_d .
#
# by content, by content and distance, by the key alone, by distance alone. :math:`R_n` is fixed, sines and cosines of n.


def attention(layer, h, memory, u, v):  # (T, D), (M, D), (heads, D_h) twice -> (T, D)
    both, (H, W), T = np.concatenate([memory, h]), u.shape, len(h)
    N, D = both.shape
    q, k, values = (both @ layer.qkv_net.weight.numpy().T).reshape(N, 3, H, W).transpose(1, 2, 0, 3)  # (heads, N, D_h)
    angles = np.outer(np.arange(N), 10000.0 ** (-np.arange(0, D, 2) / D))  # (N, D / 2)
    R = np.concatenate([np.sin(angles), np.cos(angles)], 1) @ layer.r_net.weight.numpy().T  # (N, heads D_h)
    R = R.reshape(N, H, W).swapaxes(0, 1)  # (heads, N, D_h)
    i, j = np.arange(N - T, N)[:, None], np.arange(N)  # queries are the last T
    q, far = q[:, N - T :], R[:, np.maximum(i - j, 0)]  # (heads, T, D_h), (heads, T, N, D_h)
    A = (q + u[:, None]) @ k.swapaxes(1, 2) + np.einsum("hid,hijd->hij", q + v[:, None], far)  # (heads, T, N)
    e = np.exp(np.where(j <= i, A / W**0.5, -np.inf))
    y = h + (e / e.sum(-1, keepdims=True) @ values).swapaxes(0, 1).reshape(T, H * W) @ layer.o_net.weight.numpy().T
    return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)


def exact(**sizes):  # in float64, with weights large enough for attention to choose
    mv.manual_seed(0)
    model = mv.create_model("transformer_xl_tiny", **{"d_model": 16, "d_head": 4, "d_inner": 32, "vocab_size": 64, **sizes})
    for parameter in (p for p in model.double().parameters() if p.ndim == 2):
        nn.init.normal_(parameter, std=0.4)
    return model


model, h, memory = exact(), rng.standard_normal((5, 16)), rng.standard_normal((3, 16))
given = mv.tensor(transformer_xl.distances(16, 8)), model.r_w_bias, model.r_r_bias, model.sees(5, 8)
library = model.layers[0].dec_attn(mv.tensor(h[None]), mv.tensor(memory[None]), *given).numpy()[0]
mine = attention(model.layers[0].dec_attn, h, memory, model.r_w_bias.numpy(), model.r_r_bias.numpy())
np.testing.assert_allclose(mine, library, rtol=1e-10, atol=1e-12)

# %%
# A shift for a table of pairs
# ----------------------------
#
# ``far`` has a vector for each *pair* of places, but there are only N distances. So the library multiplies each query by N
# vectors, and asks afterwards which column key j means. With columns from distance N - 1 down to 0 it is j + T - 1 - i: row i
# moved to the left by T - 1 - i. Appendix B does that by a column of zeros and two reshapes. The future is masked.


def by_distance(x):  # (T, N), column c of distance N - 1 - c -> (T, N), column j of key j; 0 in the future
    (T, N), (i, j) = x.shape, np.indices(x.shape)
    return np.where(j <= i + N - T, x[i, np.minimum(j + T - 1 - i, N - 1)], 0)


for T, N in (1, 1), (4, 4), (3, 8), (1, 6):
    x = rng.standard_normal((T, N))
    np.testing.assert_array_equal(by_distance(x), transformer_xl.rel_shift(mv.tensor(x)).numpy() * np.tri(T, N, N - T))

# %%
# What is remembered
# ------------------
#
# Of each layer its *inputs* for the last M tokens, without gradient: keys and values are made of them anew. Where M is as long
# as the text, segments say what the whole text says. Only the gradient knows the difference: it ends at the memory.


def in_segments(model, tokens, length):  # (B, S) -> log-probabilities (B, S, V)
    memory = model.memory(len(tokens))
    with mv.no_grad():
        return np.concatenate([model(tokens[:, i : i + length], memory).numpy() for i in range(0, tokens.shape[1], length)], 1)


model, text = exact(mem_len=24), rng.permutation(64)[None, :24]  # no token twice
np.testing.assert_allclose(in_segments(model, text, 6), model(text).numpy(), rtol=1e-9)
short = exact(mem_len=8, n_layer=1)  # its last segment of 6 says what a window of 8 + 6 says
np.testing.assert_allclose(in_segments(short, text, 6)[:, -6:], short(text[:, -14:]).numpy()[:, -6:], rtol=1e-9)
heard, memory, cotangent = [], model.memory(), mv.tensor(rng.standard_normal((1, 6, 16)))
behind = [model.hidden(text[:, i : i + 6], memory) for i in range(0, 24, 6)][-1]
for last in (model.hidden(text)[:, -6:], behind):
    model.zero_grad()
    (last * cotangent).sum().backward()
    heard.append(np.abs(model.word_emb.emb_layers[0].weight.grad.numpy()[text[0]]).max(1) > 0)  # by place
np.testing.assert_array_equal(heard, [np.arange(24) >= 0, np.arange(24) >= 18])

# %%
# How far it sees
# ---------------
#
# One layer sees M tokens before its segment; what it remembers of them had seen M before theirs. So N layers see N M back, and
# no token is read twice. Is that so, exactly? Change one input at a time and see which outputs move, by however little.

L, S, (t, s) = 4, 24, np.indices((24, 24))
texts = np.where(np.eye(1 + S, S, -1, dtype=bool), 63, rng.integers(63, size=S))  # text 1 + s has another token at place s
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.8), layout="constrained", sharey=True)
for axis, (layers, M) in zip(axes, [(3, 0), (1, L), (2, L), (3, L)], strict=True):
    said = in_segments(exact(n_layer=layers, mem_len=M), texts, L)  # (1 + S, S, V)
    moved = (said[1:] != said[:1]).any(-1).T  # (t, s)
    np.testing.assert_array_equal(moved, (s <= t) & (s >= L * (t // L) - layers * M))
    axis.imshow(moved, cmap="Blues", vmax=1.4)
    axis.set(xlabel="input at place s", xticks=range(0, S, 2 * L), yticks=range(0, S, 2 * L))
    axis.set_title(f"{layers} layer{'s' * (layers > 1)}, " + (f"M = {M}" if M else "no memory"), fontsize=10)
axes[0].set_ylabel("output at place t")
figure.suptitle(f"Which outputs move with which input (segments of {L})", fontsize=11)

# %%
# A word of forty letters
# -----------------------
#
# To see is not yet to use. A source says forty random letters of sixteen and repeats them for ever: behind the fortieth all is
# certain for a reader who looks back 39 places, who sees there what is next. One layer, at place p of a segment of 16, sees
# p + M back: where that is less, nobody is below :math:`\ln 16` nats. Every stream has forty letters of its own.

SEEDS, STEPS, PERIOD, LETTERS, SEGMENT, ROUNDS = (1, 2, 40, 16, 16, 8) if lesson.quick() else (3, 70, 40, 16, 16, 8)


def streams(count, rng):  # -> letters (count, 129)
    return np.tile(rng.integers(LETTERS, size=(count, PERIOD)), (1, 4))[:, : SEGMENT * ROUNDS + 1]


def trained(M, seed):
    mv.manual_seed(seed)
    sizes = {"d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64, "tgt_len": SEGMENT, "vocab_size": LETTERS}
    model, draw = mv.create_model("transformer_xl_tiny", mem_len=M, **sizes), np.random.default_rng(seed)
    optimiser = optim.AdamW(model.parameters(), lr=1e-2)
    rate = schedule.Scheduler(optimiser, schedule.cosine(STEPS * ROUNDS, warmup=STEPS // 4))
    for _ in range(STEPS):
        tokens, memory = streams(16, draw), model.memory(16)
        for i in range(0, SEGMENT * ROUNDS, SEGMENT):
            optimiser.zero_grad()
            model.loss(tokens[:, i : i + SEGMENT + 1], memory).backward()
            optim.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            rate.step()
    return model


def by_place(model, tokens, M):  # -log p at each place of a segment, in the second half, where all has been said before: (16)
    model.config = replace(model.config, mem_len=M)
    said = in_segments(model, tokens[:, :-1], SEGMENT)  # (B, S, V)
    nats = -np.take_along_axis(said, tokens[:, 1:, None], -1)[..., 0]  # (B, S)
    return nats.mean(0).reshape(ROUNDS, SEGMENT)[ROUNDS // 2 :].mean(0)


unseen, places = [streams(64, np.random.default_rng(100 + seed)) for seed in range(SEEDS)], np.arange(SEGMENT)
networks, nats = {M: [trained(M, seed) for seed in range(SEEDS)] for M in (0, 32, 48)}, {}
figure, axis = plt.subplots(figsize=(6.5, 3.1), layout="constrained")
for (M, read), style in zip([(0, 0), (32, 32), (48, 48), (32, 48)], "soxv", strict=True):
    values = np.array([by_place(*each, read) for each in zip(networks[M], unseen, strict=True)])  # (seeds, 16)
    nats[M, read], bound = values, np.where(places + read < PERIOD - 1, np.log(LETTERS), 0)
    name = f"memory of {M}" + f", read with {read}" * (read != M)
    colour = axis.plot(places, values.mean(0), style, markersize=5, label=name)[0].get_color()
    axis.vlines(places, values.min(0), values.max(0), color=colour, alpha=0.5)
    axis.plot(places, bound, color=colour, linewidth=1, drawstyle="steps-mid")
    print(f"{name:>26}: {values.mean(1).round(2)} nats a letter, seed by seed; no reader below {bound.mean():.2f}")
axis.set(xlabel="place in the segment", ylabel="nats of the next letter", xticks=places[::3], ylim=(-0.15, None))
axis.set_title(f"A period of {PERIOD} in segments of {SEGMENT} (mean and range of {SEEDS} seeds; lines: bounds)", fontsize=10)
axis.legend(fontsize=9, loc="center left")
assert lesson.quick() or (nats[0, 0].mean(1).min() > np.log(LETTERS) - 0.02 and nats[48, 48].mean(1).max() < 0.3)
assert lesson.quick() or max(nats[32, 32][:, 7:].max(), nats[32, 48].max()) < 1.0 < nats[32, 32][:, :7].min()

# %%
# With 48 tokens every place is told; with 32 those that see far enough. The last of the others are *worse* than ignorance: they
# look where their letter should be, find one of its neighbours, the nearest that is there, and are sure of it. Give what was
# trained with 32 a memory of 48, and it tells every place: it knows distances, and this one it has met.
#
# What a token costs
# ------------------
#
# Without memory, to tell each token from W before it, a window moves by one token and is read anew. With memory each token is
# read once. The paper's abstract has over 1,800 times, measured beside another model; the authors' 12 layers, counted:


class Remembering(nn.Sequential):  # a model behind a full memory
    def forward(self, tokens):
        memory, config = self[0].memory(), self[0].config
        memory.hidden = [np.zeros((1, config.mem_len, config.d_model), np.float32) for _ in memory.hidden]
        return self[0](tokens, memory)


for W in (100, 400) if lesson.quick() else (800, 3800):
    large = mv.create_model("transformer_xl_enwik8", mem_len=W)
    slid, kept = mv.profile(large, (W,)).macs, mv.profile(Remembering(large), (128,), np.int64).macs / 128
    print(f"{W} back: {slid:.1e} multiply-adds a letter with a window, {kept:.1e} with memory, {slid / kept:,.0f} times fewer")
assert lesson.quick() or slid > 1000 * kept

# %%
# Many words
# ----------
#
# A model of V words has an output of V rows. Grave et al. (2017) make a first softmax over the c frequent words and one entry
# for *all others*, and only where one of these is meant a second. With more stretches of rarer words it goes on.
#
# .. math:: p(w) = p_1(w) \ \text{if frequent, else}\ p_1(\text{rare})\, p_2(w) , \qquad
#           \text{rows} = c + 1 + P(\text{rare})\,(V - c) .

softmax = AdaptiveSoftmax(Clusters(64, (10, 30)), 16).double()
hidden, words = mv.tensor(rng.standard_normal((50, 16))), rng.integers(64, size=50)
log_p = softmax.log_prob(hidden).numpy()  # (50, 64)
np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-12)
np.testing.assert_allclose(softmax(hidden, words).numpy(), -log_p[np.arange(50), words], rtol=1e-12)

source = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(mv.__file__).parent.rglob("*.py")))
counts = np.array(sorted(Counter(re.findall(r"\w+", source)).values(), reverse=True))  # of this library's own words
V, c = len(counts), np.arange(1, len(counts))
rows = c + 1 + (1 - np.cumsum(counts)[:-1] / counts.sum()) * (V - c)
print(f"{c[rows.argmin()]} of {V:,} words in the first softmax: {rows.min() / V:.0%} of the rows of one softmax over all")

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``xl-rel-shift``: from distances to keys. ``xl-sees``: who may look where.
# ``xl-memory``: what is kept and what is given. ``xl-attention``: the four terms of the score.
