r"""
Examples instead of gradients
=============================

GPT-3 (Brown et al. 2020) was tuned to no task. A few worked examples stand in the text, then the question, and no weight moves.
How can a network learn without a gradient? We count what the paper changed, build its banded attention, train small GPT-3s on
texts whose answers stand nowhere but in the text, and look at the head that finds them.

:Prerequisites: :doc:`05_attention`, :doc:`40_gpt2`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import in_context, lesson, nn, optim
from minivision.models.gpt3 import band

mv.set_num_threads(1)  # so small a network is not worth a second thread
SEEDS, STEPS, TEXTS = (1, 4, 2) if lesson.quick() else (3, 500, 50)

# %%
# Eight sizes
# -----------
#
# A block of width :math:`d` has :math:`4d^2` weights in attention and :math:`8d^2` behind it; with :math:`L` blocks, :math:`V`
# tokens and :math:`n` places that makes
#
# .. math:: N = 12 L d^2 + 13 L d + (V + n)\,d + 2d .
#
# A token meets each weight once: 2 N operations forward, a product and a sum, and twice as many backward, for the gradients of
# weights and of what they read. Training on :math:`D` tokens costs about :math:`6ND`, and more for attention, which this leaves
# out; the smaller the model, the more. All sizes read 300 billion tokens (section 2.2).

D = 300e9
print(" size   layers  width  heads       parameters   6ND     counted / 6ND")
for size in ("125m", "350m", "760m", "1_3b", "2_7b", "6_7b", "13b", "175b"):
    found, N = mv.models.entry("gpt3_" + size), mv.count_parameters(mv.create_model("gpt3_" + size))
    L, d, V, n = (getattr(found.config, name) for name in ("n_layer", "n_embd", "vocab_size", "n_positions"))
    assert 12 * L * d**2 + 13 * L * d + (V + n) * d + 2 * d == N
    print(f"{size:>5} {L:8} {d:6} {found.config.n_head:6} {N:16,}   {6 * N * D:.2e} {found.macs / n / N:6.3f}")
assert np.isclose(6 * N * D, 3.14e23, rtol=0.01)  # what Table D.1 prints for the largest

# %%
# The band
# --------
#
# Dense attention compares all :math:`n(n+1)/2` pairs. In every second layer of GPT-3 a token sees itself and those just before
# it (section 2.1, after Child et al. 2019). How many was not published; we write :math:`w` for them:
#
# .. math:: \text{token } t \text{ sees } s \iff t - w < s \le t, \qquad nw - \tfrac12 w(w-1) \text{ pairs} .
#
# The library cuts the text into blocks of :math:`w` for this, each with the keys of the block before. By hand, with a mask:


def banded(q, k, v, w):  # (..., n, D_h) each
    distance = np.arange(q.shape[-2])[:, None] - np.arange(q.shape[-2])  # t - s
    e = np.exp(np.where((distance >= 0) & (distance < w), q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, -np.inf))
    return e / e.sum(-1, keepdims=True) @ v


q, k, v = np.random.default_rng(0).standard_normal((3, 1, 4, 23, 16))
own = mv.create_model("gpt3_tiny", band=5).transformer.h[1].attn.attend(q, k, v)
np.testing.assert_allclose(banded(q, k, v, 5), own, rtol=1e-12, atol=1e-14)
assert band(23, 23, 5).sum() == 23 * 5 - 5 * 4 // 2

# %%
# What is out of a layer's sight comes through those below: :math:`l` banded layers reach :math:`l(w-1)` tokens back, and the
# dense layers between them reach all.

n, w = 24, 5
two = band(n, n, w) @ band(n, n, w)  # True where some token between is seen by t and sees s
assert np.array_equal(two, band(n, n, 1 + 2 * (w - 1)))
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.4), layout="constrained", width_ratios=[1, 1, 1, 1.3])
masks = {"dense": np.tri(n), f"a band of {w}": band(n, n, w), "two bands stacked": two}
for axis, (name, mask) in zip(axes, masks.items(), strict=False):
    axis.imshow(mask, cmap="Blues", vmax=1.4)
    axis.set(xlabel="token s", xticks=[0, n - 1], yticks=[0, n - 1])
    axis.set_title(f"{name}\n{int(mask.sum())} pairs", fontsize=9)
axes[0].set_ylabel("token t sees s")
n = 2 ** np.arange(8, 16)
axes[3].loglog(n, n * (n + 1) / 2, "o-", n, n * 256 - 128 * 255, "s-", base=2, markersize=3)
axes[3].set(xlabel="length of the text", ylabel="pairs of a layer")
axes[3].legend(["dense", "band of 256"], fontsize=8)

# %%
# Texts that answer themselves
# ----------------------------
#
# To see learning in the context alone, we need answers that weights cannot know. A text is a row of pairs, key and value, by a
# table that is drawn anew for each text. With :math:`m` keys and :math:`v` values, the best a reader can do after :math:`K`
# pairs is to copy where the key has come before, and else to guess:
#
# .. math:: a(K) = 1 - \left(1 - \tfrac1m\right)^K \left(1 - \tfrac1v\right) .

KEYS, VALUES, PAIRS, SHOTS = 4, 4, 17, [0, 1, 2, 4, 8, 16]
best = 1 - (1 - 1 / KEYS) ** np.array(SHOTS) * (1 - 1 / VALUES)
names = ["A", "B", "C", "D", "1", "2", "3", "4"]
for text in in_context.pairs(np.random.default_rng(1), 3, 10, KEYS, VALUES)[0]:
    print(" ".join(names[key] + names[value] for key, value in text.reshape(-1, 2)))

# %%
# Training is on such texts, and only on their values. Three layers: dense, a band of two pairs, dense. Beside them a network of
# one layer. The learning rate of each was chosen on texts of another seed, of four and of four.


def network(n_layer):  # begins so that a layer keeps the size of what it reads
    model = mv.create_model("gpt3_tiny", n_embd=32, n_layer=n_layer, n_head=2, n_positions=2 * PAIRS, vocab_size=8, band=4)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            proj = 2 if "proj" in name else 1
            nn.init.normal_(weight, std=0.3 if "wte" in name else 0.05 if "wpe" in name else len(weight) ** -0.5 / proj)
    return model


def weights_of(model, tokens, number):  # attention of a block: tokens (B, T) -> (B, heads, T, T)
    x = model.transformer.wte(tokens) + model.transformer.wpe(np.arange(tokens.shape[1]))
    for block in list(model.transformer.h)[:number]:
        x = block(x)
    block, (B, T) = model.transformer.h[number], tokens.shape
    q, k, v = block.attn.c_attn(block.ln_1(x)).numpy().reshape(B, T, 3, 2, -1).transpose(2, 0, 3, 1, 4)  # (B, heads, T, D_h)
    seen = band(T, T, block.attn.band if number % 2 else T)
    p = F.softmax(np.where(seen, q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, -np.inf), -1)
    assert np.allclose(p @ v, block.attn.attend(q, k, v), atol=1e-5)
    return p


def copying(weights, tokens):  # (B, heads, T, T) -> what a head has, at a key, for that which followed the same key (heads)
    before = np.tril(tokens[:, ::2, None] == tokens[:, None, ::2], -1)  # (B, key t, key s)
    found = (weights[:, :, ::2, 1::2] * before[:, None]).sum(-1)  # (B, heads, keys)
    return found.swapaxes(0, 1)[:, before.any(-1)].mean(1)


def trained(seed, n_layer, lr, steps=STEPS, table=None):  # -> the network, its losses, and copying of the last layer's heads
    mv.manual_seed(seed)
    model, rng, losses, heads = network(n_layer), np.random.default_rng(seed), [], []
    optimiser = optim.AdamW(model.parameters(), betas=(0.9, 0.95))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1, (step + 1) / 50) * (1 - step / steps)
        tokens = in_context.pairs(rng, 32, PAIRS, KEYS, VALUES)[0]
        if table is not None:
            tokens[:, 1::2] = KEYS + table[tokens[:, ::2]]
        if step % 20 == 0:
            with mv.no_grad():
                heads.append(copying(weights_of(model, tokens, n_layer - 1), tokens))
        loss = F.cross_entropy(model(tokens[:, :-1])[:, ::2].flatten(0, 1), tokens[:, 1::2].reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return model, np.array(losses), np.array(heads)


three, one = ([trained(seed, n_layer, lr) for seed in range(SEEDS)] for n_layer, lr in ((3, 0.003), (1, 0.01)))

# %%
# When does it learn to copy?
# ---------------------------
#
# The loss first stays on a plateau: the network knows which values a text has, and not whose they are. Then it drops. At the
# same time a head of the last layer begins to look from a key to *what followed the same key before*: an *induction head*
# (Olsson et al. 2022, arXiv 2209.11895). Below, values look back at their keys: so it can find them.

figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), layout="constrained", width_ratios=[1, 1, 1.15])
for seed, (_, losses, heads) in enumerate(three):
    colour = axes[0].plot(losses, linewidth=0.7, label=f"seed {seed}")[0].get_color()
    axes[1].plot(np.arange(len(heads)) * 20, heads[:, heads[-1].argmax()], color=colour)
axes[0].plot(one[0][1], color="grey", linewidth=0.7, label="one layer", zorder=0)
axes[0].set(title="Loss", xlabel="step", ylabel="nats per value", ylim=(0, 2))
axes[0].legend(fontsize=8)
axes[1].set(title="The copying head", xlabel="step", ylabel="on what followed the key", ylim=(0, 1))
tokens = in_context.pairs(np.random.default_rng(1), 1, 10, KEYS, VALUES)[0]
at_keys = weights_of(three[0][0], tokens, 2)[0, three[0][2][-1].argmax(), ::2]  # (keys, T)
axes[2].imshow(at_keys, cmap="Blues", vmin=0, vmax=1, aspect="auto")
axes[2].set_xticks(range(20), [names[token] for token in tokens[0]], fontsize=7)
axes[2].set_yticks(range(10), [names[token] for token in tokens[0, ::2]], fontsize=7)
axes[2].set(title="That head, at each key", xlabel="looks at", ylabel="key that is read")
tokens = in_context.pairs(np.random.default_rng(6), 100, PAIRS, KEYS, VALUES)[0]
print("the best head of each layer: weight from a value on the key before it; from a key on what followed it before")
for seed, (model, *_) in enumerate(three):
    looks = [weights_of(model, tokens, number) for number in range(3)]
    back = [each[:, :, np.arange(1, 34, 2), np.arange(0, 34, 2)].mean((0, 2)).max() for each in looks]
    copies = [copying(each, tokens).max() for each in looks]
    print(f"seed {seed}: " + ", ".join(f"{share:.2f}" for share in back) + "; " + ", ".join(f"{share:.2f}" for share in copies))
assert lesson.quick() or all(heads[-1].max() > 0.5 > 0.4 > heads[0].max() for *_, heads in three)

# %%
# More examples, more right answers
# ---------------------------------
#
# ``in_context.few_shot`` asks as the paper does (section 2.4): K examples, drawn anew for each question, stand before it, and
# the likeliest option is the answer. What is compared is the sum of :math:`\log p` over an option's tokens, or their mean.
# Training has seen all 256 tables; which of them a text has, no weight can know.


def asked(model, seed, table=None):  # -> right answers (SHOTS)
    rng, shares = np.random.default_rng(50 + seed), []
    for _ in range(TEXTS):
        tokens, tables = in_context.pairs(rng, 1, 32, KEYS, VALUES)
        known = tables[0] if table is None else table
        made = [in_context.Question([key], [[4], [5], [6], [7]], known[key]) for key in [*tokens[0, ::2], *range(KEYS)]]
        shares.append(in_context.few_shot(model, made[:32], made[32:], SHOTS, draws=1, seed=len(shares))[:, 0])
    return np.mean(shares, 0)


context, options = [0, 5, 1, 6, 0], [[4], [5], [6, 1]]  # "A 2 B 3 A": 1, 2, or "3 B"?
scored = in_context.log_probabilities(three[0][0], [context] * 3, options)
logits = three[0][0](np.array([context])).numpy()[0, -1]
np.testing.assert_allclose([p[0] for p in scored], (logits - np.log(np.exp(logits).sum()))[4:7], rtol=1e-3)
print("option scores, summed and per token:", *(in_context.option_scores(scored, per).round(2) for per in (False, True)))
state = [w.tobytes() for model, *_ in three for w in model.state_dict().values()]
right = {name: [asked(model, seed) for seed, (model, *_) in enumerate(each)]
         for name, each in {"three layers": three, "one layer": one}.items()}  # fmt: skip
assert state == [w.tobytes() for model, *_ in three for w in model.state_dict().values()]  # no weight moved

# %%
# One layer gains up to two examples and then little: it cannot both see whose a value is and fetch it. Where weights can know
# the answer, all is different: the same network, trained on texts of one table, needs no example. Then we permute the table, in
# the examples too: what contradicts its weights teaches it nothing.

TABLE = np.array([2, 0, 3, 1])
fixed = [trained(seed, 3, 0.003, STEPS // 4, TABLE)[0] for seed in range(SEEDS)]
for name, table in {"one table, in the weights": TABLE, "... and then permuted": TABLE[[1, 2, 3, 0]]}.items():
    right[name] = [asked(model, seed, table) for seed, model in enumerate(fixed)]
right = {name: np.array(shares) for name, shares in right.items()}  # (SEEDS, SHOTS)
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for (name, shares), style in zip(right.items(), ("o-", "s-", "^:", "v:"), strict=True):
    colour = axis.plot(range(len(SHOTS)), shares.mean(0), style, markersize=5, label=name)[0].get_color()
    axis.fill_between(range(len(SHOTS)), shares.min(0), shares.max(0), color=colour, alpha=0.2)
    print(f"{name:>26}: " + ", ".join(f"K = {K} {share:.1%}" for K, share in zip(SHOTS, shares.mean(0), strict=True)))
axis.plot(range(len(SHOTS)), best, "k--", linewidth=1, label="the best there is")
axis.set(title="Without a gradient", xlabel="examples K", ylabel=f"right answers (shaded: {SEEDS} seeds)", ylim=(-0.03, 1.03))
axis.set_xticks(range(len(SHOTS)), SHOTS)
axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
ours, alone, by_weights, permuted = right.values()
rises = np.all(np.diff(ours.mean(0)) > 0) and np.all(ours[:, -1] > ours[:, 0] + 0.3)
told = ", ".join(f"{x.mean():.1%} ({x.min():.1%} to {x.max():.1%}) with {K}" for K, x in zip(SHOTS, ours.T, strict=True))
told = f"keys and values by a table of each text's own, no weight changed, {SEEDS} seeds: right answers {told} examples"
lesson.claim("L6", f"{told} (at best {best[-1]:.1%})", "holds at this scale" if rises else "does not hold here")
assert lesson.quick() or (rises and np.abs(ours.mean(0) - best).max() < 0.08 and alone[:, -1].max() < ours[:, 3].min())
assert lesson.quick() or by_weights.min() > 0.95 > 0.05 > permuted.max()

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``gpt3-band``: which keys a query may see. ``gpt3-blocks``: the band without a
# square of the length. ``in-context-scores``: options of unlike lengths compared. ``in-context-pairs``: texts to copy from.
