r"""
Attention before the vision transformer
=======================================

A convolution's weights are the same in every picture; only *where* a pixel stands counts. Attention weighs by *what* is there.
The non-local block of :doc:`22_non_local` was a guest among convolutions. Can attention take their place altogether? Three
papers of 2019 and 2020 say so: in a window around each pixel, along rows and columns, and by proof. We build all three by hand,
see what it costs to read windows without a kernel made for it, and look where heads go in training.

:Prerequisites: :doc:`05_attention`, :doc:`11_attention_cost`, :doc:`14_resnet`, :doc:`22_non_local`
"""

from functools import partial
from itertools import product
from time import thread_time
from timeit import timeit

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim, schedule, train
from minivision.models.attention_cnn import convolution_as_attention
from minivision.models.axial import AxialAttention
from minivision.models.sasa import LocalAttention

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# A window for each pixel
# -----------------------
#
# Stand-alone self-attention (Ramachandran et al. 2019, eq. 3) asks the :math:`k \times k` pixels around :math:`ij`:
#
# .. math:: y_{ij} = \sum_{ab} \operatorname{softmax}_{ab}\big(q_{ij}^\top k_{ab} + q_{ij}^\top r_{a-i,\,b-j}\big)\, v_{ab} .
#
# Without :math:`r` a window would be a bag of pixels. Half of its numbers depend on the row offset, half on the column offset:
# :math:`3D^2 + kD` weights in all, where a convolution has :math:`k^2 D^2`. Written shift by shift, no window is copied:


def local(q, k, v, r, window, heads):  # q, k, v (D, H, W), r (D, window^2) -> (D, H, W)
    (D, H, W), near = q.shape, window // 2
    k, v = (np.pad(each, ((0, 0), (near, near), (near, near))) for each in (k, v))
    moves = [np.s_[:, a : a + H, b : b + W] for a, b in np.ndindex(window, window)]
    s = np.array([(q * (k[move] + r[:, n, None, None])).reshape(heads, -1, H, W).sum(1) for n, move in enumerate(moves)])
    p = np.exp(s - s.max(0))  # (window^2, heads, H, W)
    p /= p.sum(0)
    return sum(each[:, None] * v[move].reshape(heads, -1, H, W) for each, move in zip(p, moves, strict=True)).reshape(D, H, W)


def parts(layer, x):  # q, k, v (D, H, W) and r (D, window^2) as arrays
    maps = [conv(x).numpy()[0] for conv in (layer.query_conv, layer.key_conv, layer.value_conv)]
    return *maps, layer.offsets().numpy()[:, 0, 0].swapaxes(1, 2).reshape(len(maps[0]), -1)


layer, x = LocalAttention(8, 8, 7, 4).double(), mv.tensor(rng.standard_normal((1, 8, 6, 9)))
assert sum(weight.numpy().size for weight in layer.parameters()) == 3 * 8**2 + 7 * 8
np.testing.assert_allclose(layer(x).numpy()[0], local(*parts(layer, x), 7, 4), rtol=1e-10, atol=1e-12)

# %%
# Counted and timed
# -----------------
#
# :math:`3hwC^2` multiply-adds for three maps and :math:`2k^2hwC` for scores and sums: a pixel costs the same in pictures of all
# sizes. A convolution's bound, :math:`k^2hwC^2`, is of that kind, and higher. Is attention as fast, too? Convolutions have
# kernels made for them. The library's layer copies all windows and calls its attention for each pixel; ours is NumPy alone.
# Beside them stands what Swin does later: as many scores, in *one* window for all of its 7 x 7 pixels.

C, HEADS, SIDE = 64, 8, 14 if lesson.quick() else 56
layers = {f"{k} x {k} convolution": nn.Conv2d(C, C, k, padding=k // 2, bias=False) for k in (3, 7)}
layers["local, the library's"] = attention = LocalAttention(C, C, 7, HEADS)
pixel = {"3 x 3 convolution": 9 * C**2, "7 x 7 convolution": 49 * C**2, "local, the library's": 3 * C**2 + 2 * 49 * C}
for side in (7, 14, 28, SIDE):
    assert pixel == {name: mv.profile(layer, (C, side, side)).macs / side**2 for name, layer in layers.items()}


def shared(q, k, v, *_):  # (C, H, W) each: a window of 7 x 7 for all of its pixels
    maps = (F.window_partition(each.transpose(1, 2, 0)[None], 7).reshape(-1, 49, HEADS, C // HEADS) for each in (q, k, v))
    return F.scaled_dot_product_attention(*(each.swapaxes(1, 2) for each in maps))


x = mv.tensor(rng.standard_normal((1, C, SIDE, SIDE), dtype=np.float32))
ways = {name: partial(layer, x) for name, layer in layers.items()}
ways["local, shift by shift"] = lambda: local(*parts(attention, x), 7, HEADS)
ways["a window for 7 x 7 pixels"] = lambda: shared(*parts(attention, x))
with mv.no_grad():  # they take turns
    rounds = [{name: timeit(way, timer=thread_time, number=1) for name, way in ways.items()} for _ in range(7)]
ms, names = {name: 1e3 * min(each[name] for each in rounds) for name in ways}, list(ways)
figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 2.5), layout="constrained", sharey=True)
for axis, values in (left, [pixel.get(name, pixel[names[2]]) / 1e3 for name in names]), (right, list(ms.values())):
    axis.barh(names, values, color=["C7", "C7", "C0", "C0", "C2"])
left.set(xlabel="thousand multiply-adds a pixel", ylim=(4.5, -0.5))
right.set(xlabel=f"milliseconds, {C} channels on {SIDE} x {SIDE}")

# %%
# What is missing is not arithmetic. In a shared window 49 queries read the same 49 keys, and their scores are one product of
# matrices; windows of one's own share nothing, and numbers are moved instead. Swin's authors give this as their reason for
# windows side by side (Liu et al. 2021, section 3.2).

took = {name: f"{ms[name] / ms[names[0]]:.1f} and {ms[name] / ms[names[1]]:.1f}" for name in names}
holds = min(ms[name] for name in names[2:4]) > max(ms[name] for name in names[:2])
assert lesson.quick() or holds
lesson.claim("A4", f"{C} channels, 7 x 7 pixels around each: {pixel[names[2]]:,} multiply-adds a pixel at any side, a 3 x 3 "
             f"and a 7 x 7 convolution {pixel[names[0]]:,} and {pixel[names[1]]:,}; on {SIDE} x {SIDE} the library's layer "
             f"takes {took[names[2]]} times as long as these, NumPy shift by shift {took[names[3]]} times, the same scores in "
             f"shared windows {took[names[4]]}", "holds at this scale" if holds else "does not hold here")  # fmt: skip

# %%
# Down the columns, then along the rows
# -------------------------------------
#
# Axial attention (Ho et al. 2019; Wang et al. 2020, eq. 4) takes a column, then a row: two passes join any two pixels. Relative
# positions speak to the query, to the key, and to the value:
#
# .. math:: y_o = \sum_p \operatorname{softmax}_p(q_o^\top k_p + q_o^\top r^q_{o-p} + k_p^\top r^k_{p-o})\,(v_p + r^v_{o-p}) .


def axial(q, k, v, r):  # a line of N pixels, one head: q, k (c/2, N), v (c, N), r (2 c, 2 N - 1) -> (c, N)
    (half, N), y = q.shape, np.empty_like(v)
    for o in range(N):
        back, forth = o - np.arange(N) + N - 1, np.arange(N) - o + N - 1
        s = q[:, o] @ k + q[:, o] @ r[:half, back] + (k * r[half : 2 * half, forth]).sum(0)
        y[:, o] = (v + r[2 * half :, back]) @ (np.exp(s) / np.exp(s).sum())
    return y


x = mv.tensor(rng.standard_normal((1, 8, 6, 9)))
for layer, axes in (AxialAttention(8, 8, 2, 6), (1, 2, 0)), (AxialAttention(8, 8, 2, 9, width=True), (1, 0, 2)):
    layer.double().eval()
    layer.bn_qkv.eps = layer.bn_similarity.eps = layer.bn_output.eps = 0.0  # batch norms that, as they begin, change nothing
    lines = zip(*(part.numpy() for part in layer.heads(x)), strict=True)
    mine = np.array([[axial(*head, layer.relative.numpy()) for head in zip(*line, strict=True)] for line in lines])
    np.testing.assert_allclose(layer(x).numpy()[0], mine.reshape(len(mine), 8, -1).transpose(axes), atol=1e-12)

# %%
# A convolution made of attention
# -------------------------------
#
# Is anything lost? No, say Cordonnier et al. (2020, theorem 1). Give head :math:`h` the shift :math:`\Delta_h` of one tap of a
# filter, and logits that know only the way :math:`\delta` from query to key:
#
# .. math:: -\alpha\,\|\delta - \Delta_h\|^2 = -\alpha\big(\|\delta\|^2 - 2\langle\delta, \Delta_h\rangle\big) + \text{const} .
#
# Three numbers of each way suffice. As :math:`\alpha` grows, the softmax becomes a single 1 at :math:`\Delta_h`: the head reads
# *the pixel of its tap*. The tap's matrix follows; the sum over :math:`K^2` heads is the convolution.


def by_heads(x, weight, alpha):  # x (H, W, inputs), weight (outputs, inputs, K, K) -> (H, W, outputs)
    (H, W, inputs), K = x.shape, weight.shape[-1]
    places, y = np.stack(np.mgrid[:H, :W], -1).reshape(-1, 2), 0.0
    for tap in np.ndindex(K, K):
        away = places - places[:, None] - (np.array(tap) - K // 2)  # (query, key, 2): delta - Delta
        y = y + F.softmax(-alpha * (away**2).sum(-1), dim=-1) @ x.reshape(-1, inputs) @ weight[(..., *tap)].T
    return y.reshape(H, W, -1)


gaps, ALPHAS = {}, (1.0, 5.0, 20.0, 50.0)
for K in (3, 5):
    x, weight, n = rng.standard_normal((9, 8, 3)), rng.standard_normal((4, 3, K, K)), K // 2
    wanted = F.conv2d(x.transpose(2, 0, 1)[None], weight, padding=n)[0].transpose(1, 2, 0)
    framed = np.pad(x, ((n, n), (n, n), (0, 0)))  # the picture brings its zeros along
    gaps[K] = [np.abs(by_heads(framed, weight, alpha)[n:-n, n:-n] - wanted).max() for alpha in ALPHAS]
    layer = convolution_as_attention(weight, alpha=ALPHAS[-1])
    assert (layer.heads, gaps[K][-1] < 1e-12) == (K * K, True)
    np.testing.assert_allclose(layer(mv.tensor(framed[None])).numpy()[0], by_heads(framed, weight, ALPHAS[-1]), atol=1e-12)
told = [f"{K * K} heads differ from a {K} x {K} convolution by {', '.join(f'{gap:.2g}' for gap in gaps[K])}" for K in gaps]
lesson.claim("A3", f"{'; '.join(told)} at alpha = {', '.join(f'{alpha:g}' for alpha in ALPHAS)}, in float64")

# %%
# What one output depends on, by its gradient:

passes = nn.Sequential(*(AxialAttention(8, 8, 2, 15, width=width) for width in (False, True)))
fields = {"convolution 3 x 3": nn.Conv2d(8, 8, 3, padding=1), "local, 7 x 7": LocalAttention(8, 8, 7, 2),
          "axial, columns": passes[0], "axial, rows": passes[1], "axial, both": passes}  # fmt: skip
figure, axes = plt.subplots(1, 5, figsize=(7.5, 2), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for axis, (name, layer) in zip(axes, fields.items(), strict=True):
    x = mv.tensor(rng.standard_normal((1, 8, 15, 15)), requires_grad=True)
    layer.double().eval()(x)[0, :, 7, 7].square().sum().backward()
    seen = np.abs(x.grad.numpy()[0]).sum(0) > 0
    axis.imshow(seen, cmap="Blues", vmin=0, vmax=1.4)
    axis.plot(7, 7, "r.")
    axis.set_title(f"{name}\n{seen.sum()} of {seen.size}", fontsize=9)

# %%
# On digits
# ---------
#
# A small network of local attention and a ResNet of about its size, at two learning rates:

SEEDS, RATES, EPOCHS, STEPS = (1, (0.01,), 1, 10) if lesson.quick() else (3, (0.01, 0.03), 3, 360)
for name, lr in product(("resnet_digits", "sasa_digits"), RATES):
    trainers = [train.Trainer(train.Config(name, lr=lr, seed=seed, epochs=EPOCHS, augment=False)) for seed in range(SEEDS)]
    right = [list(trainer.steps()) and trainer.rows[-1]["test_accuracy"] for trainer in trainers]
    print(f"{name}, rate {lr:g}: right on", ", ".join(f"{share:.1%}" for share in right), "of unseen digits")

# %%
# In Cordonnier's networks a head learns its centre and its spread. Here are two layers of nine heads on single pixels, which
# begin close to their own pixel, with a spread of one: what lies farther off or is wider was learned.


def learned(seed):  # -> centres (layers, heads, 2) and spreads (layers, heads) in pixels, right answers
    mv.manual_seed(seed)
    model = mv.create_model("attention_cnn_digits", patch_size=1, hidden_size=32, intermediate_size=64, depth=2)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:  # centres, and matrices, which in small networks learn faster from variance 1 / D
            nn.init.normal_(weight, std=0.3 if "centers" in name else weight.shape[1] ** -0.5)
    slow, data, rng = dict(model.named_parameters()), mv.data.load("digits", seed), np.random.default_rng(seed)
    fast = [slow.pop(name) for name in list(slow) if "attention_" in name]
    optimizer = optim.AdamW([{"params": slow.values()}, {"params": fast, "lr": 0.06}], lr=0.006, weight_decay=0.0)
    scheduler = schedule.Scheduler(optimizer, schedule.cosine(STEPS, STEPS // 10))
    for _ in range(STEPS):
        some = rng.integers(len(data.train_labels), size=32)
        optimizer.zero_grad()
        F.cross_entropy(model(mv.tensor(data.train_images[some])), data.train_labels[some]).backward()
        optimizer.step()
        scheduler.step()
    heads = [layer.attention.self for layer in model.encoder.layer]
    centres = np.array([layer.attention_centers.numpy() for layer in heads])
    spreads = np.array([1 / np.abs(layer.attention_spreads.numpy()) for layer in heads])
    return centres, spreads, np.mean(train.predict(model, data.test_images[:], 512).argmax(1) == data.test_labels)


figure, axes = plt.subplots(2, SEEDS, figsize=(7.2, 5), layout="constrained", squeeze=False, sharex=True, sharey=True)
for seed, column in enumerate(axes.T):
    centres, spreads, share = learned(seed)
    for n, axis in enumerate(column):
        for (down, right), spread in zip(centres[n], spreads[n], strict=True):
            axis.add_patch(plt.Circle((right, down), spread, color="C0", alpha=0.15))
            axis.plot(right, down, "C0o", markersize=3)
        axis.plot(0, 0, "r+", markersize=9)
        axis.set(title=f"layer {n + 1}, seed {seed}", xlim=(-6, 6), ylim=(6, -6), aspect="equal")
    away, wide = np.median(np.hypot(*centres.T), 0), np.median(spreads, 1)  # of each layer
    (down, right), (first, second) = np.abs(centres[0]).mean(0), away
    print(f"seed {seed}, {share:.1%} right: heads are {first:.1f} and {second:.1f} pixels away, {wide[0]:.1f} and {wide[1]:.1f}"
          f" wide; in the first layer {down:.1f} up or down, {right:.1f} to a side")  # fmt: skip
    assert lesson.quick() or (first < second and wide[0] < wide[1] and right < down)
figure.supxlabel("pixels from the query, the red cross; a circle: one standard deviation of a head's weights", fontsize=9)

# %%
# In the paper's pictures first layers look near, later ones farther and over wider areas: so do ours, in every seed. That heads
# stand on a grid, as the taps of a filter do, is not seen here: they lie above and below more than beside, some in one place.
#
# Exercises
# ---------
#
# ``minivision exercise start ID``. Local attention: ``sasa-offsets``, where a pixel stands in its window; ``sasa-attend``,
# eq. 3; ``sasa-mixture``, the stem's shares. Axial: ``axial-offsets``, three tables; ``axial-weights``, three logits.
# Cordonnier: ``quadratic-heads``, a Gaussian as five numbers; ``convolution-as-attention``, the theorem.
