r"""
The Transformer: a sentence in, a sentence out
==============================================

How does a network turn one sentence into another, when words far apart belong together? Vaswani et al. (2017) keep attention
alone. We derive its scale and its heads, hold its two masks to the bit, train a small one to turn words around, see where it
looks, and take its decoder alone (Liu et al. 2018).

:Prerequisites: :doc:`05_attention`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, models, optim, schedule, swa

mv.set_num_threads(1)  # so small a network is not worth a second thread
mv.manual_seed(0)
rng = np.random.default_rng(0)

# %%
# The scale
# ---------
#
# A score is :math:`q \cdot k = \sum_{i=1}^{d_k} q_i k_i`. Entries that are independent, of mean 0 and variance 1, give products
# of mean 0 and variance :math:`E[q_i^2]\, E[k_i^2] = 1`, and the sum has variance :math:`d_k`: divided by :math:`\sqrt{d_k}`,
# scores keep variance 1 however wide the heads are. Otherwise? The softmax's derivative is
#
# .. math:: \partial p_i / \partial s_j = p_i (\delta_{ij} - p_j), \qquad J = \operatorname{diag}(p) - p\,p^T :
#
# where one :math:`p_i` is 1, :math:`J` is 0. Scores far apart are a choice that no gradient can change (drawn in lesson 5).

spread = [np.einsum("ni,ni->n", *rng.standard_normal((2, 20000, d))).var() / d for d in (4, 64, 256)]
print(f"variance of q k over d_k, for d_k = 4, 64, 256: {np.round(spread, 3)}")
s = mv.tensor(np.tile(rng.standard_normal(7), (7, 1)), requires_grad=True)  # a row for each output
F.softmax(s, -1)[np.arange(7), np.arange(7)].sum().backward()
np.testing.assert_allclose(s.grad.numpy(), np.diag(p := F.softmax(s.numpy()[0])) - np.outer(p, p), rtol=1e-12, atol=1e-15)
np.testing.assert_allclose(spread, 1, atol=0.1)

# %%
# Heads and masks
# ---------------
#
# One softmax can say one thing. :math:`h` *heads* have their own :math:`d_k = d / h` columns of :math:`W^Q, W^K, W^V`, and
# :math:`W^O` mixes what they bring (section 3.2.2): a reshape. A mask puts :math:`-\infty` for scores that may not count. The
# encoder looks at itself, without padding; the decoder at itself, without what comes later, and at the encoder's real tokens.


def looks(module, x, y, mask):  # queries of x (B, M, d), keys and values of y (B, N, d) -> p (B, h, M, N), v (B, h, N, d_k)
    each = zip((x, y, y), np.split(module.in_proj_weight.numpy(), 3), strict=True)
    q, k, v = ((a @ W.T).reshape(*a.shape[:2], module.heads, -1).swapaxes(1, 2) for a, W in each)
    e = np.exp(np.where(mask, q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5, -np.inf))
    return e / e.sum(-1, keepdims=True), v


attend = mv.create_model("transformer_tiny").double().encoder.layers[0].self_attn
x, memory, seen = rng.standard_normal((3, 7, 32)), rng.standard_normal((3, 9, 32)), np.arange(9) < [[9], [4], [6]]
for a, b, sees in ((memory, memory, seen), (x, x, None), (x, memory, seen)):  # the three uses
    p, v = looks(attend, a, b, np.tri(7) > 0 if sees is None else sees[:, None, None])
    mine = (p @ v).swapaxes(1, 2).reshape(a.shape) @ attend.out_proj.weight.numpy().T  # (B, M, d)
    np.testing.assert_allclose(mine, attend(mv.tensor(a), mv.tensor(b), sees, sees is None).numpy(), rtol=1e-9, atol=1e-13)

# %%
# Each branch is added to what it read, with a norm behind. An attention has :math:`4 d^2` weights, the two layers at each place
# :math:`2 d f + f + d`, a norm :math:`2 d`; one table of :math:`V` rows embeds source and target and makes the logits, too
# (section 3.4). Heads are free: 64 narrow ones have the weights and the products of one wide one.

for name in ("transformer_base", "transformer_big"):
    c, (one, many) = models.entry(name).config, (mv.create_model(name, nhead=h) for h in (1, 64))
    d, f, L = c.d_model, c.dim_feedforward, c.num_encoder_layers
    formula = L * ((4 + 8) * d * d + 2 * (2 * d * f + f + d) + (2 + 3) * 2 * d) + c.vocab_size * d
    print(f"{name}: {formula:,} parameters")
    assert mv.count_parameters(one) == mv.count_parameters(many) == formula
    assert mv.profile(one, (256,)).macs == mv.profile(many, (256,)).macs

# %%
# What each place hears
# ---------------------
#
# The decoder learns from all tokens of a target at once, so none may hear itself being asked for: what is read is moved right
# by one, and the causal mask hides the rest. Sentences of a batch are filled up to one length, which must change nothing. Both
# are exact: changed tokens, later or of padding, leave the very bits, and gradients by what may not be heard are 0.

model = mv.create_model("transformer_tiny")  # two layers each, float32, untrained
source, target, real = rng.integers(3, 16, (4, 10)), rng.integers(3, 16, (4, 8)), np.arange(10) < 7
seen = np.tile(real, (8, 1))
with mv.no_grad():
    logits = model(source, target, seen[:4]).numpy()  # (B, M, V)
    for t in range(8):
        changed = np.where(np.arange(8) < t, target, (target + 5) % 16)
        np.testing.assert_array_equal(model(source, changed, seen[:4]).numpy()[:, :t], logits[:, :t])
    np.testing.assert_array_equal(model(np.where(real, source, 0), target, seen[:4]).numpy(), logits)
    away, unmasked = (np.abs(model(x, target).numpy() - logits).max() / np.abs(logits).max() for x in (source[:, :7], source))
    inputs = model.embed(source), model.embed(target), model.encode(source, seen[:4])


def reach(output, *inputs):  # (T, T, d), inputs (T, N, d): of copy t the place t alone -> T x N for each of them
    places, mix = np.arange(len(output)), rng.standard_normal(output.shape[-1]).astype(np.float32)
    (output[places, places] * mix).sum().backward()
    return [np.abs(x.grad.numpy()).max(-1) for x in inputs]


read, said, memory = (mv.tensor(x.numpy()[:1].repeat(n, 0), requires_grad=True) for x, n in zip(inputs, (7, 8, 8), strict=True))
heard = reach(model.encoder(read, seen[:7]), read) + reach(model.decoder(said, memory, seen), said, memory)
figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.9), layout="constrained")
titles, rules = ("source hears source", "target hears target", "target hears source"), (seen[:7], np.tri(8) > 0, seen)
for axis, values, title, rule in zip(axes, heard, titles, rules, strict=True):
    axis.imshow(np.log10(np.where(values > 0, values, np.nan)))
    axis.set(title=title, xlabel="place that is heard", xticks=range(0, values.shape[1], 3), yticks=[0, 3, 6])
    np.testing.assert_array_equal(values > 0, rule)
axes[0].set_ylabel("place that hears")
figure.suptitle("Gradients (log; white: exactly 0). The source's last three places are padding", fontsize=10)
assert away < 1e-5 < 1e-2 < unmasked
lesson.claim("L3", f"a changed token leaves the decoder's outputs before it to the bit: gradients reach {np.sum(heard[1] > 0)} "
             f"of {heard[1].size} pairs, those s <= t; the encoder hears before and after, but of padding nothing, to the bit: "
             f"without it logits move by {away:.1g} of the largest, with it unmasked by {unmasked:.0%}")  # fmt: skip

# %%
# Training
# --------
#
# Words of 3 to 6 letters are to be written backwards: where to look depends on how long they are. Section 5.3's rate rises for
# :math:`w` steps and falls with the root of their number; section 5.4's loss wants :math:`1 - \epsilon` of the right token, and
# spreads the rest over all :math:`V`:
#
# .. math:: \mathrm{rate}(t) = d^{-1/2} \min(t^{-1/2},\ t\, w^{-3/2}), \qquad
#           \mathcal L = -(1 - \epsilon) \log p_{\text{right}} - \frac{\epsilon}{V} \sum_v \log p_v .
#
# So 0 is out of reach: the least loss is the entropy of what is wanted. At the end the weights are the mean of the last
# checkpoints, as in section 6.1.

SEEDS, STEPS = (1, 20) if lesson.quick() else (3, 480)


def words(count, rng):  # sources and targets (count, 7): 3 to 15 are letters, 2 is the end, 0 fills up
    letters, length, place = rng.integers(3, 16, (count, 7)), rng.integers(3, 7, (count, 1)), np.arange(7)
    back = np.take_along_axis(letters, np.maximum(length - 1 - place, 0), 1)
    return [np.where(place < length, each, 2 * (place == length)) for each in (letters, back)]


def trained(name, steps, seed, rate=1.0, arranged=lambda model, *pair: pair, **overrides):
    mv.manual_seed(seed)
    model, draw = mv.create_model(name, **overrides), np.random.default_rng(seed)
    optimiser = optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.98), eps=1e-9)
    optimiser = swa.SWA(optimiser, start=4 * steps // 5, every=max(1, steps // 40))
    scheduler = schedule.Scheduler(optimiser, schedule.inverse_sqrt(100, model.config.d_model))
    for _ in range(steps):
        optimiser.zero_grad()
        model.loss(*arranged(model, *words(32, draw))).backward()
        optimiser.step()
        scheduler.step()
    optimiser.load_mean()
    return model


ONE = {"name": "transformer_tiny", "num_encoder_layers": 1, "num_decoder_layers": 1}  # one look at the source
runs, (source, target) = [trained(steps=STEPS, seed=i, **ONE) for i in range(SEEDS)], words(500, np.random.default_rng(99))
losses = [model.loss(source, target).item() for model in runs]
said = np.array([model(source, model.shifted(target), source != 0).numpy().argmax(-1) for model in runs])
right, wanted = np.mean((said == target)[:, target > 0], axis=1), np.where(np.arange(16) == 5, 0.9, 0) + 0.1 / 16
print(f"tokens right: {right}; loss {np.round(losses, 4)}, the least there is {-wanted @ np.log(wanted):.4f}")
assert lesson.quick() or right.min() > 0.99

# %%
# Where does it look? The decoder's weights over the source, by our own function, for one unseen word; and over 500 of them, how
# often the letter that is to be said has most of the heads' mean weight.

length, place, looked = (source > 2).sum(1)[:, None], np.arange(7), []
for model in runs:
    layer, x = model.decoder.layers[0], model.embed(model.shifted(target))
    x, memory = layer.norm1(x + layer.self_attn(x, causal=True)), model.encode(source, source != 0)
    looked.append(looks(layer.multihead_attn, x.numpy(), memory.numpy(), (source != 0)[:, None, None])[0])  # (B, h, M, N)
at = [np.mean((p.mean(1).argmax(-1) == length - 1 - place)[place < length]) for p in looked]
shown = int(np.argmax(length))  # a long one
names = [[".abcdefghijklm"[token - 2] for token in each[shown]] for each in (source, target)]
figure, axes = plt.subplots(1, 5, figsize=(7.4, 2.1), layout="constrained")
for i, (axis, p) in enumerate(zip(axes, [*looked[0][shown], looked[0][shown].mean(0)], strict=True)):
    axis.imshow(p, vmin=0, vmax=1)
    axis.set(title=f"head {i + 1}" if i < 4 else "mean", yticks=[], xticks=place, xticklabels=names[0])
axes[0].set(ylabel="says", xlabel="looks at (.: the end)", yticks=place, yticklabels=names[1])
print(f"most weight on the letter that is said: {np.round(at, 3)} of all letters, by seeds")
assert lesson.quick() or min(at) > 0.95

# %%
# Greedy, or several beginnings at once? The likeliest token each time need not give the likeliest sentence. *Beam search* keeps
# the best few beginnings (section 6.1: 4). A model that was stopped early still has doubts: which sentence is likelier to it?

early, doubts = trained(steps=max(20, STEPS // 4), seed=0, **ONE), []  # where they differ: the gain of log P, source, both
for s in (s[s > 0] for s in source[: 5 if lesson.quick() else 60]):
    both = [early.translate(s, 10, beam, alpha=0.0) for beam in (1, 4)]
    log_p = [-y.size * F.cross_entropy(early(s[None], early.shifted(y[None]))[0], y).item() for y in map(np.array, both)]
    doubts += [(log_p[1] - log_p[0], s, *both)] if both[0] != both[1] else []
for gain, s, greedy, beam in doubts[:1]:
    print(f"{s} is answered {greedy} greedily, {beam} by a beam of 4, which is {np.exp(gain):.1f} times as likely")
print(f"of 60 words {len(doubts)} differ, {(wins := sum(gain > 0 for gain, *_ in doubts))} to the beam's gain")
assert lesson.quick() or wins > 0.8 * len(doubts) > 0

# %%
# The decoder alone
# -----------------
#
# Liu et al. (2018) write source, separator and target as *one* sequence and drop the encoder; the source is predicted too
# (section 4.2.3). For thousands of tokens all pairs are too many. *Local* attention (L) looks back within blocks of :math:`n`,
# at most :math:`N n` pairs. *Memory-compressed* attention (M) makes one key, and one value, of :math:`c` by a convolution of
# stride :math:`c`, seen once the whole group stands before; and all see the first token. They take turns (section 4.2.4).

N, SMALL, seen, macs = 14, {"block": 4, "compression": 3}, {}, {}
LENGTHS = [256, 1024] if lesson.quick() else [256, 512, 1024, 2048, 4096, 8192]
for kind in "FLM":
    attend = mv.create_model("transformer_decoder_tiny", layers=kind, **SMALL).layers[0].self_attn
    q, v = (mv.tensor(rng.random((N, 4, N, 8), np.float32), requires_grad=True) for _ in range(2))  # (copy t, h, s, d_k)
    seen[kind] = reach(attend.attend(q, q, v, None, True).transpose(1, 2).flatten(2), v)[0].max(1) > 0
    layer = mv.create_model("transformer_decoder_dmca", layers=kind)
    macs[kind] = [sum(r.macs for r in mv.profile(layer, (n,)).rows if r.path.startswith("layers.0")) / n for n in LENGTHS]
t, s = np.indices((N, N))
for kind, rule in {"F": s <= t, "L": (s <= t) & (s // 4 == t // 4), "M": (s == 0) | (3 * (s // 3 + 1) <= t)}.items():
    np.testing.assert_array_equal(seen[kind], rule)
figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.3), layout="constrained", width_ratios=[1, 1, 1, 1.4])
for axis, title, (kind, pairs) in zip(axes, ("full", "local", "compressed"), seen.items(), strict=False):
    axis.imshow(pairs, cmap="Blues", vmax=1.4)
    axis.set(title=f"{kind}: {title}", xlabel="token t (row) sees s", xticks=[0, 6, 12], yticks=[0, 6, 12])
    axes[3].loglog(LENGTHS, np.array(macs[kind]) / 1e6, ".-", label=kind, base=2)
axes[3].set(title="a layer, 512 wide", xlabel="tokens", ylabel="10⁶ products per token")
axes[3].legend(fontsize=8)

# %%
# The same words, two layers, F twice or L and M, at 0.4 times the paper's rate (of 1 and 0.4 the better for both).

for kinds in ("FF", "LM"):
    found, alone = [], {"arranged": lambda of, *pair: (np.stack([
        np.pad(row := of.joined(s[s > 2], t[t > 2]), (0, 14 - len(row))) for s, t in zip(*pair, strict=True)]),)}  # fmt: skip
    for seed in range(SEEDS):
        model = trained("transformer_decoder_tiny", STEPS * 5 // 3, seed, 0.4, layers=kinds, **alone, **SMALL)
        asked = zip(source[: 5 if lesson.quick() else 100], target, strict=False)
        found.append(np.mean([model.summarise(s[s > 2], 8, beam=1) == t[t > 0].tolist() for s, t in asked]))
    print(f"decoder alone, {kinds}: {np.round(found, 2)} of whole words are right, by seeds")
    assert lesson.quick() or kinds == "LM" or min(found) > 0.9

# %%
# Full attention does without an encoder. L and M lose letters: most are known only mixed with their neighbours, where this task
# asks for single ones, and at 14 tokens there is nothing to save.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``transformer-attention``: heads, and whose keys. ``transformer-loss``: smoothed,
# without padding. ``transformer-beam``: several beginnings at once. ``decoder-local``: blocks. ``decoder-compress``: three keys
# become one. ``decoder-visible``: when may a group be seen?
