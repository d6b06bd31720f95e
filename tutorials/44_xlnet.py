r"""
XLNet: in any order
===================

From left to right, a language model never reads what comes later. BERT reads both sides of a gap, but guesses each gap as if
there were no other. XLNet (Yang et al. 2019) tells a text token by token, by the chain rule, in an order that is drawn. We
build its masks and its two streams, hold the dependence along an order to exact zeros, show where a zero is easily lost, and
compare what is learned with all that can be known.

:Prerequisites: :doc:`43_transformer_xl`
"""

from itertools import product
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import lesson, nn, optim, schedule
from minivision.models import permutation, xlnet_attention
from minivision.models.permutation import Drawn, draw_orders, orders, ranks

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# An order is a mask
# ------------------
#
# Let :math:`z` be an order of a text's T places: :math:`z_t` is the place whose turn is number t. For each of the T! orders
#
# .. math:: \log p(x) = \sum_t \log p(x_{z_t} \mid x_{z_1} \dots x_{z_{t-1}}) .
#
# Drawn anew for each text, over many texts a token is told from every choice of the others, on both its sides. The tokens stay
# where they stand. An order only says who may see whom: at rank r (the turn of a place) those of ranks below r.

for z in rng.permuted(np.tile(np.arange(8), (20, 1)), axis=1):
    hidden = np.ones((8, 8), bool)  # where place i may not see place j
    for turn, place in enumerate(z):
        hidden[place, z[:turn]] = False
    np.testing.assert_array_equal(hidden, orders(z))

# %%
# Two streams
# -----------
#
# Who tells a token must not have seen it; who is read by later turns must have seen their own. One vector cannot do both. So
# each place has two (section 2.3), a *content* h and a *query* g, which share all weights and read the same contents:
#
# .. math:: g_{z_t} \leftarrow \text{attention}(g_{z_t};\ h_{z_1} \dots h_{z_{t-1}}), \qquad
#           h_{z_t} \leftarrow \text{attention}(h_{z_t};\ h_{z_1} \dots h_{z_t}) .
#
# At first h is the token's vector, and g one learned vector, the same at every place. Where it is g knows by distances alone:
# the score is Transformer-XL's, with distances below zero for what is ahead. A query that sees nothing gets zeros.


def attention(layer, x, at, h, sees):  # queries (M, D) at places (M), contents (T, D), sees (M, T) -> (M, D)
    q, k, v, o, r = (getattr(layer, name).numpy() for name in "qkvor")  # (D, heads, D_h) each
    q, k, v = np.einsum("md,dhw->hmw", x, q), np.einsum("td,dhw->htw", h, k), np.einsum("td,dhw->htw", h, v)
    D, distance = h.shape[1], at[:, None] - np.arange(len(h))  # (M, T), below zero ahead
    angles = distance[..., None] / 10000.0 ** (np.arange(0, D, 2) / D)  # (M, T, D / 2)
    far = np.einsum("mtd,dhw->hmtw", np.concatenate([np.sin(angles), np.cos(angles)], -1), r)  # (heads, M, T, D_h)
    u, w = (getattr(layer, name).numpy()[:, None] for name in ("r_w_bias", "r_r_bias"))  # (heads, 1, D_h)
    A = ((q + u) @ k.swapaxes(1, 2) + np.einsum("hmw,hmtw->hmt", q + w, far)) / q.shape[-1] ** 0.5
    e = np.where(sees, np.exp(A), 0)  # (heads, M, T)
    y = x + np.einsum("hmt,htw,dhw->md", e / np.maximum(e.sum(-1, keepdims=True), 1e-30), v, o)
    return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-12)


T = 8
mv.manual_seed(0)
model = mv.create_model("xlnet_tiny", d_model=16, n_layer=3, d_inner=32, vocab_size=T * T).double()
for parameter in (p for p in model.parameters() if p.ndim > 1):
    nn.init.normal_(parameter, std=0.4)  # large enough for attention to choose
z, layer = rng.permutation(T), model.transformer.layer[0].rel_attn
h, g = rng.standard_normal((T, 16)), np.tile(model.transformer.mask_emb.numpy()[0], (T, 1))
views = permutation.views(T, 0, orders(z)[None], np.arange(T)[None], None, None, np.float64)
library = layer(*map(mv.tensor, (h[None], g[None], xlnet_attention.distances(T, T, 16))), *views)
for mine, other, sees in zip((h, g), library, (~orders(z) | np.eye(T, dtype=bool), ~orders(z)), strict=True):
    np.testing.assert_allclose(attention(layer, mine, np.arange(T), h, sees), other.numpy()[0], rtol=1e-9, atol=1e-11)

# %%
# A triangle, and a leak
# ----------------------
#
# Along its order a network of three such layers must depend on earlier turns and on nothing else. Take the gradient of each
# place's logits into each token's vector, from T texts at once: text i is asked for place i, and no token comes twice, so each
# row of the table is one token of one text. Sorted by rank, what is not below the diagonal is zero, exactly.
#
# Many programs hide a score by adding :math:`-10^{30}`. That is as good while some score is not hidden. At rank 0 there is
# none: each sum rounds to the same number, and softmax of equals is uniform, over all tokens, *the one asked for too*.

hiding = np.exp(np.array([0.3, -1.2, 2.0, 0.7]) - 1e30 + 1e30)  # softmax takes the largest away
print(f"softmax of four scores - 1e30, in float64: {hiding / hiding.sum()}")
direction = rng.standard_normal((T * T, 1))  # a random sum of all logits


def reach(z):  # by how much the logits at rank r move with the token at rank s: (T, T)
    model.zero_grad()
    tokens, table = np.arange(T * T).reshape(T, T), model.transformer.word_embedding.weight
    _, g = model.transformer(tokens, np.tile(orders(z), (T, 1, 1)), np.arange(T)[:, None], None, None, None)  # (T, 1, D)
    (g @ mv.tensor(table.numpy().T @ direction)).sum().backward()
    return np.abs(table.grad.numpy()).max(-1).reshape(T, T)[z][:, z]


several = rng.permuted(np.tile(np.arange(T), (3, 1)), axis=1)
found = [reach(z) for z in several]
np.testing.assert_array_equal(np.array(found) > 0, np.tri(T, k=-1, dtype=bool)[None].repeat(3, 0))
with patch.object(permutation, "HIDDEN", -1e30):  # the library hides by -inf, and where all is hidden gives zeros
    found.append(reach(several[-1]))
assert np.all(found[3][0] > 0)
np.testing.assert_allclose(found[3][1:], found[2][1:], rtol=1e-9)  # no other rank leaks
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.3), layout="constrained", sharey=True)
titles = *(f"order {''.join(map(str, z))}" for z in several), "the same, by -1e30"
for axis, matrix, title in zip(axes, found, titles, strict=True):
    shown = axis.imshow(np.log10(np.where(matrix > 0, matrix, np.nan)), cmap="viridis", vmin=-1, vmax=2)
    axis.set_title(title, fontsize=10)
    axis.set(xlabel="token at rank s", xticks=range(0, T, 2), yticks=range(0, T, 2))
axes[0].set_ylabel("logits at rank r")
figure.colorbar(shown, ax=axes, label="log10 of the gradient", extend="both", shrink=0.8)

# %%
# Pre-training never asks rank 0 (section 2.3). Of an order the last 1/K are predicted, K about six, and all others are seen by
# everyone: ``draw_orders`` gives these the rank -1.

drawn = draw_orders(np.zeros((1000, 24), int), 6, rng=rng)
seen = (drawn.rank[:, None] < np.take_along_axis(drawn.rank, drawn.target_mapping, 1)[:, :, None]).sum(-1)  # (1000, 4)
print(f"targets see {seen.min()} to {seen.max()} of 24 tokens")
assert seen.min() == 20

# %%
# An urn: all that can be known
# -----------------------------
#
# A coin's chance is drawn evenly from 0 to 1, and the coin is thrown six times: a source in which places say nothing. After k
# ones of n the next is a one with chance (k + 1) / (n + 2) (Laplace), so the best possible loss at rank n is known; and all 64
# texts can be read, so that a model's expected loss has no noise. Three models are asked for *every* rank: one as it is, one
# that leaks, and one whose texts begin with a token that is told first and never asked for, as a separator is.


def entropy(texts, chance, *places):  # of what stands there, in nats
    p = np.bincount(np.unique(texts[:, places], axis=0, return_inverse=True)[1].reshape(-1), chance)
    return -p @ np.log(p)


def asked(x, z, start):  # texts (B, T), orders (B, T) or one (T), a start's number or None -> tokens, and what to ask
    z = np.broadcast_to(z, x.shape)
    if start is not None:
        x, z = np.column_stack([np.full(len(x), start), x]), np.column_stack([np.zeros(len(x), int), 1 + z])
    return x, Drawn(ranks(z), orders(z), z[:, int(start is not None) :])


def told(model, x, z, start):  # -> log p of the token at each rank, given those before (B, T)
    x, drawn = asked(x, z, start)
    with mv.no_grad():
        logits = model(x, drawn.perm_mask, drawn.target_mapping).numpy().astype(np.float64)  # (B, T, V)
    wanted = np.take_along_axis(x, drawn.target_mapping, 1)[..., None]
    return np.take_along_axis(logits - np.log(np.exp(logits).sum(-1, keepdims=True)), wanted, -1)[..., 0]


def trained(texts, chance, start, steps, seed, **sizes):
    mv.manual_seed(seed)
    sizes["vocab_size"] = texts.max() + 1 + (start is not None)
    model, draw = mv.create_model("xlnet_tiny", d_model=32, d_inner=64, **sizes), np.random.default_rng(seed)
    optimiser = optim.AdamW(model.parameters(), lr=1e-2)
    rate = schedule.Scheduler(optimiser, schedule.cosine(steps, warmup=steps // 20))
    for _ in range(steps):
        x = texts[draw.choice(len(texts), 32, p=chance)]  # (32, T)
        optimiser.zero_grad()
        model.loss(*asked(x, draw.permuted(np.tile(np.arange(x.shape[1]), (32, 1)), axis=1), start)).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
    return model


SEEDS, STEPS = (1, (4, 4)) if lesson.quick() else (3, (300, 600))
texts = np.array(list(product((0, 1), repeat=6)))  # (64, 6)
chance = 1 / (7 * np.array([np.sum(texts.sum(1) == each.sum()) for each in texts]))  # each number of ones is as likely
best = np.diff([0, *(entropy(texts, chance, *range(n + 1)) for n in range(6))])
urns, totals = {}, {}
for name, hidden, start in ("as it is", -np.inf, None), ("leaking", -1e30, None), ("with a start", -np.inf, 2):
    with patch.object(permutation, "HIDDEN", hidden):
        models = [trained(texts, chance, start, STEPS[0], seed, n_layer=1, n_head=2) for seed in range(SEEDS)]
        log_p = np.array([told(model, texts, rng.permutation(6), start) for model in models])  # (seeds, 64, 6)
    urns[name], totals[name] = -chance @ log_p, np.exp(log_p.sum(-1)).sum(-1)  # (seeds, 6), (seeds)
    if name == "as it is":
        same = np.exp(told(models[0], np.ones((1, 6), int), np.arange(6), start))[0, 1:]
    print(f"{name:>12}: {urns[name].mean(1).round(4)} nats a token; all 64 texts have together {totals[name].round(3)}")
n = np.arange(1, 6)
equal, again = 2 / (n + 1), (n + 1) / (n + 2)  # how often all n are equal, and how often the next is, too
p = equal @ again / equal.sum()  # the best chance that is the same for all n
bound = best + np.append(0, equal * (again * np.log(again / p) + (1 - again) * np.log((1 - again) / (1 - p))))
print(f"entropy {best.mean():.4f}; for who cannot count equals {bound.mean():.4f}; one more after 1 to 5 ones: {same.round(5)}")
np.testing.assert_allclose(same, same[0], rtol=1e-5)
np.testing.assert_allclose(totals["as it is"], 1, rtol=1e-5)

# %%
# The leak shows: at rank 0 it is below the entropy of a coin, and the chances of all texts sum to more than 1. (The weights
# that serve it spoil the other ranks.) And the model as it is cannot reach the entropy, however long it learns: attention is a
# *mean*, and the mean of equal tokens is the same for one and for five. With a start there is one more thing to weigh.
#
# A ring: both sides, and two gaps
# --------------------------------
#
# Five letters walk on a ring of six, a step to either side each time. From the left a letter costs :math:`\ln 2`; who sees both
# its neighbours knows more; and two gaps side by side tell of each other, which BERT, that guesses each by itself, cannot use
# (the paper's example is *New York*). Each best possible loss is a difference of entropies, counted over all 96 texts.

walks = np.cumsum([(0, *steps) for steps in product((-1, 1), repeat=4)], 1)  # (16, 5)
letters = ((walks + np.arange(6)[:, None, None]) % 6).reshape(-1, 5)  # (96, 5), each as likely
even = np.full(len(letters), 1 / len(letters))
models = [trained(letters, even, 6, STEPS[1], seed, n_layer=2, n_head=4) for seed in range(SEEDS)]
left, middle, gaps = (-np.mean([told(m, letters, np.array(z), 6) for m in models], 1)  # (seeds, 5) each
                      for z in ([0, 1, 2, 3, 4], [0, 1, 3, 4, 2], [0, 1, 4, 2, 3]))  # fmt: skip
two, three, whole = (entropy(letters, even, *at) for at in ((0, 1, 4), (0, 1, 3, 4), range(5)))
by_itself = 2 * (three - two)  # of either gap, for by symmetry both are as hard
rows = {"next letter": (left[:, 1:].mean(1), entropy(letters, even, 0, 1) - entropy(letters, even, 0)),
        "middle letter": (middle[:, 4], whole - three), "two gaps": (gaps[:, 3:].sum(1), whole - two)}  # fmt: skip
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.3), layout="constrained")
axes[0].plot(best, "k-", label="all that can be known", linewidth=1)
axes[0].plot(bound, "k:", label="who cannot count equals", linewidth=1)
for offset, (name, values) in zip((-0.1, 0.1, 0), urns.items(), strict=True):
    colour = axes[0].plot(np.arange(6) + offset, values.mean(0), "o", markersize=4, label=name)[0].get_color()
    axes[0].vlines(np.arange(6) + offset, values.min(0), values.max(0), color=colour)
axes[0].set(title="Urn", xlabel="tokens seen", ylabel="nats of the next token", ylim=(0.42, 0.71))
axes[0].legend(fontsize=8, loc="lower right")
for row, (values, possible) in enumerate(rows.values()):
    axes[1].plot(values, np.full(SEEDS, row), "C2o", alpha=0.6, label="XLNet, each seed" if row == 0 else None)
    axes[1].plot(possible, row, "k|", markersize=18, label="best possible" if row == 0 else None)
axes[1].plot([rows["next letter"][1], by_itself], [1, 2], "rx", label="best from the left; each gap by itself")
axes[1].set(title="Ring", xlabel="nats", ylim=(4.2, -0.6), xlim=(0, None))
axes[1].set_yticks(range(3), labels=rows)
axes[1].legend(fontsize=8, loc="lower left")
off = np.abs(urns["with a start"] - best).max()
near = off < 0.02 and middle[:, 4].max() < 0.6 * rows["next letter"][1] and rows["two gaps"][0].max() < 0.9 * by_itself
assert lesson.quick() or (near and urns["leaking"][:, 0].max() < 0.95 * best[0] and totals["leaking"].min() > 1.05)
ring = ", ".join(f"{name} {each.min():.3f} to {each.max():.3f} nats ({least:.3f})" for name, (each, least) in rows.items())
lesson.claim("L5", f"along {len(several)} random orders dependence is strictly triangular, its zeros exact; no draw of an urn "
             f"is more than {off:.3f} nats from all that can be known ({SEEDS} seeds); on a ring (best possible in brackets) "
             f"{ring}, where a letter from the left alone is never below {rows['next letter'][1]:.3f}, and two gaps, each by "
             f"itself, never below {by_itself:.3f}", "holds at this scale" if near else "does not hold here")  # fmt: skip

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``xlnet-orders``: an order as a mask. ``xlnet-by-key``: distances, also of what
# is ahead. ``xlnet-draw``: which places are asked for, and what they see. ``xlnet-loss``: the mean over what is asked for.
