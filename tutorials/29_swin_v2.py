r"""
Swin v2: three repairs
======================

Swin was made deeper and its pictures larger, and three things gave way: activations grew from block to block, a few pairs of
patches took all attention, and what was learned of displacements did not fit larger windows. Swin v2 (Liu et al. 2022) changes
one thing for each: where the norm stands, what a score is, and who says the bias. We build the three by hand, prove what is
exact, and measure the rest in small networks. One of the three does not come out as the paper has it.

:Prerequisites: :doc:`28_swin`
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, models, nn, schedule, train
from minivision.models import swin, swin_v2
from minivision.models.shifted_windows import heads, position_bias, relative_position_index

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)
SEEDS, STEPS, LONGER, DEPTH = (1, 2, 3, 4) if lesson.quick() else (3, 60, 220, 12)
V2 = replace(models.entry("swinv2_digits").config, embed_dim=16, mlp_ratio=2.0, patch_size=2, num_heads=(2, 4))

# %%
# Scores that are angles
# ----------------------
#
# A dot product grows with both vectors. Swin v2 takes its cosine over a temperature (section 3.2), and :math:`\tau > 0.01` is
# learned for each head: no score leaves :math:`[-1/\tau, 1/\tau]`, whatever the activations are.
#
# .. math:: \operatorname{Sim}(q_i, k_j) = \frac{\cos(q_i, k_j)}{\tau} + B_{ij}
#
# The bias :math:`B` is no table but an answer: a network of two layers is asked about the displacement (section 3.3), which is
# given on a logarithmic scale: :math:`\hat d = \operatorname{sign}(d) \log_2(1 + 8 |d| / (M - 1)) / \log_2 8`. The published
# weights add :math:`16\,\sigma` around the answer.


def log_spaced(window, trained):  # -> ((2 M - 1)^2, 2)
    d = np.stack(np.meshgrid(*2 * [np.arange(1 - window, window)], indexing="ij"), -1).reshape(-1, 2)
    return np.sign(d) * np.log2(1 + 8 * np.abs(d) / (trained - 1)) / 3


def attend(x, w, M):  # windows (nW, N, C), the layer's arrays -> (nW, N, C)
    qkv = x @ w["qkv.weight"].T + np.concatenate([w["q_bias"], 0 * w["q_bias"], w["v_bias"]])
    q, k, v = qkv.reshape(*x.shape[:2], 3, len(w["logit_scale"]), -1).transpose(2, 0, 3, 1, 4)  # (nW, heads, N, D) each
    cosines = (q / np.linalg.norm(q, axis=-1)[..., None]) @ (k / np.linalg.norm(k, axis=-1)[..., None]).swapaxes(-1, -2)
    hidden = np.maximum(0, log_spaced(M, M) @ w["cpb_mlp.0.weight"].T + w["cpb_mlp.0.bias"])
    table = 16 / (1 + np.exp(-hidden @ w["cpb_mlp.2.weight"].T))  # ((2 M - 1)^2, heads)
    B = table[relative_position_index((M, M))].reshape(M * M, M * M, -1).transpose(2, 0, 1)
    p = np.exp(cosines * np.exp(np.minimum(w["logit_scale"], np.log(100))) + B)
    return (p / p.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(x.shape) @ w["proj.weight"].T + w["proj.bias"]


attention = swin_v2.WindowAttention(V2, 0, (4, 4)).double()
w, x = attention.state_dict(), rng.standard_normal((3, 16, 16))
y = attention(mv.tensor(x)).numpy()
np.testing.assert_allclose(attend(x, w, 4), y, rtol=0, atol=1e-13)
np.testing.assert_allclose(log_spaced(8, 4), swin_v2.log_spaced((8, 8), (4, 4)), rtol=0, atol=1e-14)

# %%
# Queries or keys a thousand times as long, and nothing changes. (Their biases begin at 0.)

for part in (0, 1):  # queries, keys
    longer = w["qkv.weight"].copy()
    longer[16 * part : 16 * (part + 1)] *= 1000
    attention.load_state_dict({**w, "qkv.weight": longer})
    np.testing.assert_allclose(attention(mv.tensor(x)).numpy(), y, rtol=0, atol=1e-12)

# %%
# A norm after each branch
# ------------------------
#
# In Swin a block adds :math:`f(\operatorname{LN}(x))`, and nothing bounds what :math:`f` gives. In Swin v2 it adds
# :math:`\operatorname{LN}(f(x))`: numbers with mean square 1 for each patch, times the norm's factors :math:`\gamma`, whatever
# the weights before are. In the published code :math:`\gamma` begins at 0, and each block as the identity.

block, x, y = swin_v2.Block(V2, 0, True, 0.0).double(), mv.tensor(rng.standard_normal((2, 8, 8, 16))), []
state = {key: value + key.startswith("norm") for key, value in block.state_dict().items()}  # factors of 1
for times in (1, 1000):
    block.load_state_dict({k: v * times if k.startswith(("attn.proj", "mlp.fc2")) else v for k, v in state.items()})
    y.append(block(x).numpy())
np.testing.assert_allclose(*y, rtol=0, atol=1e-3)  # but for the epsilon in a norm

# %%
# One repair after the other
# --------------------------
#
# Digits as 4 x 4 patches, in windows of 2 x 2, through twelve blocks: Swin; with the norm after each branch, and factors that
# begin at 1; with cosines, too; and with factors that begin at 0, which is Swin v2. All train alike. For each block, the root
# mean square of its output, and its largest score without the bias:


def with_attention(layer):
    class Block(swin_v2.Block):
        def __init__(self, config, stage, *args):
            super().__init__(config, stage, *args)
            self.attn = layer(config, stage, self.window)

    return Block


def network(block, config, factors=0.0):  # a Swin of such blocks, in which every matrix begins with variance 1/D
    kind = swin.SwinTransformer if block is swin.Block else swin_v2.SwinTransformerV2
    model = type("Network", (kind,), {"block": block})(config)
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and layer.weight.shape[1] not in (2, swin_v2.HIDDEN):  # not those of the bias
            nn.init.normal_(layer.weight, std=layer.weight.shape[1] ** -0.5)
        if isinstance(layer, swin_v2.Block):
            layer.norm1.weight.data[:] = layer.norm2.weight.data[:] = factors
    return model


def fit(model, x, t, steps, seed, faster=1):  # what says a bias learns so many times as fast as the rest
    groups = {"params": []}, {"params": [], "lr": 0.005 * faster}
    for name, parameter in model.named_parameters():
        groups["bias_table" in name or "cpb_mlp" in name]["params"].append(parameter)
    optimiser = mv.optim.AdamW(groups, lr=0.005)
    scheduler = schedule.Scheduler(optimiser, schedule.cosine(steps, warmup=steps // 10))
    for some in np.random.default_rng(seed).integers(len(t), size=(steps, 16)):
        optimiser.zero_grad()
        F.cross_entropy(model(mv.tensor(x[some])), t[some]).backward()
        mv.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        scheduler.step()
    return model


def look(model, x):  # -> (2, blocks): root mean squares, largest scores
    z, found = model.patch_embed(mv.tensor(x)), []
    for block in model.layers[0].blocks:
        layer, dot = block.attn, isinstance(block.attn, swin.WindowAttention)
        inside = block.norm1(z) if isinstance(block, swin.Block) else z
        qkv = layer.qkv(inside) if dot else F.linear(inside, layer.qkv.weight, layer.qkv_bias())
        q, k, _ = heads(F.window_partition(qkv, 2, block.shift).flatten(1, 2), 2, 1)
        q, k = (q / q.shape[-1] ** 0.5, k) if dot else layer.scaled(q, k)
        z = block(z)
        found.append((np.sqrt(np.mean(z.numpy() ** 2)), np.abs((q @ k.transpose(-2, -1)).numpy()).max()))
    return np.transpose(found)


DEEP = replace(V2, depths=(DEPTH,), num_heads=(2,), window_size=2)
DOT, COSINE = with_attention(swin.WindowAttention), swin_v2.Block
KINDS = {"Swin": (swin.Block, 0), "norms after": (DOT, 1), "and cosines": (COSINE, 1), "and from 0: v2": (COSINE, 0)}
digits, seen = [mv.data.load("digits", seed) for seed in range(SEEDS)], {kind: [] for kind in KINDS}
for kind, (block, factors) in KINDS.items():
    for seed, data in enumerate(digits):
        mv.manual_seed(seed)
        model, x = network(block, DEEP, factors), data.test_images[:64]
        before = look(model, x)
        seen[kind].append((before, look(fit(model, data.train_images[:], data.train_labels, STEPS, seed), x)))
seen = {kind: np.array(each) for kind, each in seen.items()}  # (seeds, before and after, sizes and scores, blocks)
figure, axes = plt.subplots(1, 3, figsize=(7.5, 3), layout="constrained")
TITLES = {(0, 0): "root mean square at first", (1, 0): f"after {STEPS} steps", (1, 1): f"largest score after {STEPS} steps"}
for axis, ((when, what), title) in zip(axes, TITLES.items(), strict=True):
    for kind, each in seen.items():
        low, middle, high = np.sort(each[:, when, what], axis=0)[[0, SEEDS // 2, -1]]
        colour = axis.plot(np.arange(DEPTH) + 1, middle, label=kind)[0].get_color()
        axis.fill_between(np.arange(DEPTH) + 1, low, high, color=colour, alpha=0.2)
    axis.set(xlabel="block", yscale="log" if what else "linear")
    axis.set_title(title, fontsize=10)
axes[1].legend(fontsize=8)
growth = [each[:, 1, 0, -1] / each[:, 1, 0, 0] for each in seen.values()]  # of each kind and seed
scores = [each[:, 1, 1].max(-1) for each in seen.values()]

# %%
# The norm's new place alone does not keep activations small: with factors of 1 they grow as in Swin. It gives a bound, and
# factors that begin at 0 use it. And since no norm stands before the queries now, dot products grow with the activations.
# Cosines mend that; in Swin itself, as small as here, scores stay small without them.
#
# A larger window
# ---------------
#
# Windows of 8 x 8 have displacements that windows of 4 x 4 do not. A *table* is interpolated (bicubic, when it is loaded). The
# network is just asked, and on the logarithmic scale what it is asked is not far from what it knows:

for name, scale in (("linear", lambda d: d), ("logarithmic", lambda d: np.log2(1 + 8 * d / 3))):
    print(f"{name} scale: the largest displacement of the larger window is {scale(7) / scale(3) - 1:.0%} beyond what is known")

# %%
# Two networks, Swin v2 and one with a table, learn digits of 16 x 16 pixels in windows of 4 x 4. With no further training they
# read the same pictures in windows of 8 x 8, and larger pictures in windows enlarged alike, as the paper does (table 1). What
# says the bias learns faster than the rest; how much is chosen on held-out digits (first seed, the size that was trained with).


class Table(swin_v2.WindowAttention):
    def __init__(self, config, stage, window):
        super().__init__(config, stage, window)
        del self.cpb_mlp
        self.relative_position_bias_table = swin.WindowAttention(config, stage, window).relative_position_bias_table

    def bias(self):
        return position_bias(self.relative_position_bias_table, self.window)


def right(block, state, images, labels, side=16, M=4):  # of a network with these weights, in windows of M x M
    config = replace(V2, window_size=M, img_size=side, pretrained_window_sizes=(4, 4))
    (model := network(block, config)).load_state_dict(state)
    x = F.interpolate(images[:], (side, side), mode="bilinear")
    return np.mean(train.predict(model, x, 256).argmax(1) == labels)


def learned(block, seed, faster):  # -> the weights, and the right answers on held-out images
    mv.manual_seed(seed)
    x, t = digits[seed].train_images[:], digits[seed].train_labels
    model = network(block, replace(V2, img_size=16))
    fit(model, F.interpolate(x[300:], (16, 16), mode="bilinear"), t[300:], LONGER, seed, faster)
    return (state := model.state_dict()), right(block, state, x[:300], t[:300])


WAYS, TESTS = {"table": with_attention(Table), "network": swin_v2.Block}, ((16, 4), (16, 8), (24, 6), (32, 8))
found = {}
for name, block in WAYS.items():
    first = {faster: learned(block, 0, faster) for faster in (10, 30)}
    best = max(first, key=lambda faster: first[faster][1])
    states = [first[best][0], *(learned(block, seed, best)[0] for seed in range(1, SEEDS))]
    found[name] = np.array([[right(block, state, data.test_images, data.test_labels, *test) for test in TESTS]
                            for state, data in zip(states, digits, strict=True)])  # fmt: skip
    print(f"{name}: its bias learns {best} times as fast; {found[name].round(3).tolist()}")
figure, axis = plt.subplots(figsize=(6.5, 3), layout="constrained")
for i, (name, shares) in enumerate(found.items()):
    axis.plot(np.arange(4) + 0.1 * i, shares.T, f"C{i}o", alpha=0.6, label=[name, *["_"] * (SEEDS - 1)])
    axis.plot(np.arange(4) + 0.1 * i, shares.mean(0), f"C{i}_", markersize=14)
axis.set(title=f"Right answers on unseen digits, {SEEDS} seeds (bar: mean)", xticks=range(4))
axis.set_xticklabels([f"{side} pixels\nwindows of {M}" for side, M in TESTS])
axis.legend()
ahead = (found["network"] - found["table"])[:, 1:]  # (seeds, larger windows)
calm, bounded = growth[3].max() < growth[0].min(), scores[2].max() < scores[1].min()
verdict = "holds at this scale" if calm and bounded and ahead.min() > 0 else "does not hold here"
spans = [f"{each.min():.3g} to {each.max():.3g}" for each in (growth[0], growth[1], growth[3], *scores[1:3])]
means = {name: ", ".join(f"{mean:.0%}" for mean in each.mean(0)) for name, each in found.items()}
lesson.claim("S6", f"the last of {DEPTH} blocks gives {spans[0]} times what the first gives in Swin ({SEEDS} seeds), {spans[1]} "
             f"with norms after, {spans[2]} if their factors begin at 0 (v2); largest scores with norms after {spans[3]}, with "
             f"cosines {spans[4]}. Right answers, in windows trained with and larger: network {means['network']}, "
             f"table {means['table']}; network ahead in {np.sum(ahead > 0)} of {ahead.size} pairs", verdict)  # fmt: skip
assert lesson.quick() or (calm and bounded and ahead.min() < 0)

# %%
# Two repairs do here what the paper says, and what bounds them is exact. The third does not show: with some of the seeds the
# interpolated table is ahead. Perhaps because it is stretched just as the pictures are.
#
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``swinv2-cosine``: scores that are angles; ``swinv2-log-spaced``: displacements
# on a logarithmic scale; ``swinv2-bias``: a network says the bias.
