r"""
Seeing far: the non-local block
===============================

A convolution sees its neighbours. What lies far apart in a picture meets only after many layers, or never. How would a network
answer a question about *two* places at once? The non-local block (Wang et al. 2018) lets every position of a map ask every other
one. We build its four forms in a few lines, count what it costs, and give it a question that no small window can answer.

:Prerequisites: :doc:`04_convolution`, :doc:`05_attention`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, nn, optim
from minivision.models.nonlocal_net import AFFINITIES, NonLocalBlock

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# How far a convolution sees
# --------------------------
#
# Which pixels does one output depend on? Those where its gradient is not zero. :math:`L` convolutions of 3 x 3 reach :math:`L`
# pixels in each direction. To cross a map takes as many layers as it is wide.


def seen(model, side=15):  # -> (side, side) of booleans: the pixels that the middle of the output depends on
    x = mv.tensor(rng.standard_normal((1, 4, side, side)), requires_grad=True)
    model.double().eval()(x)[0, :, side // 2, side // 2].sum().backward()
    return np.abs(x.grad.numpy()).sum((0, 1)) > 0


def awake(**options):  # a block that is past its first step: the norm's factor, 0 at the start, is 1
    block = NonLocalBlock(4, **options)
    nn.init.ones_(block.W[1].weight)
    return block


fields = {f"{layers} convolutions of 3 x 3": seen(nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(layers))))
          for layers in (2, 5)}  # fmt: skip
fields["1 non-local block"] = seen(awake(sub_sample=False))
assert [field.sum() for field in fields.values()] == [5 * 5, 11 * 11, 15 * 15]
figure, axes = plt.subplots(1, 3, figsize=(7, 2.8), layout="constrained")
for axis, (title, field) in zip(axes, fields.items(), strict=True):
    axis.imshow(field, cmap="Blues", vmin=0, vmax=1.4)
    axis.plot(7, 7, "r.", markersize=8)
    axis.set_title(f"{title}\n{field.sum()} of {field.size} pixels", fontsize=9)
    axis.set(xticks=[], yticks=[])
figure.suptitle("What the output at the red dot depends on (blue)", fontsize=11)

# %%
# Every position asks every other
# -------------------------------
#
# Equation 1 of the paper, and equation 6:
#
# .. math:: y_i = \frac{1}{C(x)} \sum_j f(x_i, x_j)\, g(x_j), \qquad z_i = W_z y_i + x_i .
#
# :math:`g` is a linear map, a 1 x 1 convolution, and so are :math:`\theta` and :math:`\phi` below. :math:`f` says how well two
# positions agree (section 3.2):
#
# ======================  ===============================================================  =================================
# Gaussian                :math:`e^{x_i^\top x_j}`                                         :math:`C = \sum_j f(x_i, x_j)`
# embedded Gaussian       :math:`e^{\theta(x_i)^\top \phi(x_j)}`                           the same
# dot product             :math:`\theta(x_i)^\top \phi(x_j)`                               :math:`C = N`, the positions
# concatenation           :math:`\operatorname{ReLU}(w^\top [\theta(x_i), \phi(x_j)])`     :math:`C = N`
# ======================  ===============================================================  =================================
#
# An exponential over its sum is a softmax. And concatenation writes no pair out: with :math:`w = [w_1, w_2]` it is
# :math:`w_1^\top \theta(x_i) + w_2^\top \phi(x_j)`, one column plus one row. On rows of positions, that is all:


def non_local(x, affinity, theta, phi, g, w, scale):  # x (N, C) -> y (N, inner)
    queries, keys = (x, x) if affinity == "gaussian" else (x @ theta, x @ phi)
    if affinity == "concatenation":
        return np.maximum(0, queries @ w[: len(w) // 2] + (keys @ w[len(w) // 2 :]).T) @ (x @ g) / len(x)
    if affinity == "dot":
        return queries @ keys.T @ (x @ g) / len(x)
    f = np.exp(scale * queries @ keys.T)
    return f @ (x @ g) / f.sum(1, keepdims=True)


x = rng.standard_normal((1, 8, 6, 5))
for affinity in AFFINITIES:
    block = NonLocalBlock(8, affinity=affinity, sub_sample=False).double().eval()
    for name, parameter in block.named_parameters():
        nn.init.normal_(parameter, std=0.5 * name.endswith("weight"))  # without biases
    matrices = {name: parameter.numpy().reshape(len(parameter.numpy()), -1).T for name, parameter in block.named_parameters()}
    maps = [matrices.get(f"{name}.weight") for name in ("theta", "phi", "g", "concat_project.0")]
    y = non_local(x[0].reshape(8, 30).T, affinity, *maps, block.scale)
    mine = block.W(mv.tensor(y.T.reshape(1, 4, 6, 5))).numpy() + x
    np.testing.assert_allclose(block(mv.tensor(x)).numpy(), mine, rtol=1e-12, atol=1e-12)

# %%
# The authors' code divides the scores by :math:`\sqrt{\dim \theta}`, the factor ``scale``, which the equations do not show. With
# it, the embedded Gaussian *is* the attention of a Transformer: on a map of 14 x 14, over 196 positions.

block, x = awake(sub_sample=False).double().eval(), mv.tensor(rng.standard_normal((2, 4, 14, 14)))
q, k, v = (layer(x).flatten(2).transpose(1, 2) for layer in (block.theta, block.phi, block.g))  # (B, 196, 2)
y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 2, 14, 14)
gap = np.abs((block.W(y) + x - block(x)).numpy()).max()
positions = block.weights(x).shape[-1]
assert (positions, gap < 1e-13) == (196, True)
lesson.claim("A1", f"each of {positions} positions weighs {positions}; the output is scaled dot-product attention's to {gap:.0e}")

# %%
# Nothing, at first
# -----------------
#
# The block goes into networks that are trained already. So its last step is a batch norm whose factor begins at 0 (section 3.3):
# :math:`z = x`, to the last bit. Then the first gradient reaches that norm alone, for whatever stands before is multiplied by 0.

block, x = NonLocalBlock(8), rng.standard_normal((2, 8, 6, 6)).astype(np.float32)
z = block(mv.tensor(x))
np.testing.assert_array_equal(z.numpy(), x)
(z * mv.tensor(rng.standard_normal(x.shape).astype(np.float32))).sum().backward()
assert [name for name, p in block.named_parameters() if p.grad.numpy().any()] == ["W.1.weight", "W.1.bias"]

# %%
# A quarter of the cost
# ---------------------
#
# All pairs of :math:`N` positions cost :math:`N^2` products, twice. But whom one asks need not be so fine: with 2 x 2 positions
# pooled to one before :math:`\phi` and :math:`g`, each of :math:`N` positions asks :math:`N/4`. The output keeps all.


def affinity_macs(**options):  # the multiply-adds of f and of f g: of all, what is not a convolution's
    counted = mv.profile(NonLocalBlock(1024, **options), (1024, 14, 14)).macs
    keys = 49 if options.get("sub_sample", True) else 196
    return counted - 1024 * 512 * (2 * 196 + 2 * keys)


full, quarter = affinity_macs(sub_sample=False), affinity_macs()
assert full == 4 * quarter == 2 * 196 * 196 * 512
print(f"C = 1024 on 14 x 14: {full:,} multiply-adds between all pairs, {quarter:,} after pooling")

# %%
# Two marks far apart
# -------------------
#
# A mark near the left edge and one near the right, red or blue. The network answers *at each mark*: has the other one the same
# colour? They are farther apart than two convolutions of 3 x 3 reach, and one mark tells nothing of the answer: without a block
# the network is at chance, which no training can change. The same network with a block in its middle is trained beside it.

SIDE, COLOURS = 16, np.array([[1, 0.1, 0.1], [0.2, 0.3, 1]], np.float32)  # red and blue
SEEDS, STEPS = (1, 6) if lesson.quick() else (3, 200)


def pictures(count, rng):  # -> (N, 3, 16, 16), whether both are the same (N), rows and columns of the marks' pixels (N, 2, 4)
    first, same = rng.integers(2, size=(2, count))
    second = np.where(same, first, 1 - first)
    top, left = rng.integers(SIDE - 1, size=(count, 2)), rng.integers([0, SIDE - 5], [4, SIDE - 1], size=(count, 2))
    rows, columns = top[:, :, None] + [0, 0, 1, 1], left[:, :, None] + [0, 1, 0, 1]
    x = 0.1 * rng.random((count, 3, SIDE, SIDE), dtype=np.float32)
    x[np.arange(count)[:, None, None], :, rows, columns] = COLOURS[np.stack([first, second], 1)][:, :, None]
    return x, same.astype(np.float32), rows, columns


def convolution(inputs, outputs, kernel):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU()


def network(middle):  # a logit for each pixel; without the middle, it sees 5 x 5 pixels
    first = nn.Sequential(*convolution(3, 16, 3), *convolution(16, 16, 3))
    return nn.Sequential(first, middle, *convolution(16, 32, 1), nn.Conv2d(32, 1, 1))


def at_marks(model, x, rows, columns):  # x a Tensor -> logits (N, 2, 4)
    return model(x)[np.arange(len(x))[:, None, None], 0, rows, columns]


def right(model, x, same, rows, columns):  # the share of marks' pixels that are answered right
    with mv.no_grad():
        answers = at_marks(model.eval(), mv.tensor(x), rows, columns).numpy() > 0
    model.train()
    return np.mean(answers == same[:, None, None])


def trained(middle, seed):  # -> the model, and its right answers on pictures that it never saw, every so many steps
    mv.manual_seed(seed)
    model, rng, test = network(middle()), np.random.default_rng(seed), pictures(500, np.random.default_rng(100 + seed))
    optimizer, curve = optim.AdamW(model.parameters(), lr=1e-2), []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / STEPS)
        x, same, *where = pictures(32, rng)
        logits = at_marks(model, mv.tensor(x), *where)
        loss = F.binary_cross_entropy_with_logits(logits, np.broadcast_to(same[:, None, None], logits.shape))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % (STEPS // 6) == STEPS // 6 - 1:
            curve.append(right(model, *test))
    return model, curve


KINDS = {
    "no block": nn.Identity,
    "embedded Gaussian": lambda: NonLocalBlock(16),
    "dot product": lambda: NonLocalBlock(16, affinity="dot"),
}
runs = {kind: [trained(middle, seed) for seed in range(SEEDS)] for kind, middle in KINDS.items()}
last = {kind: np.array([curve[-1] for _, curve in several]) for kind, several in runs.items()}
print({kind: [f"{each:.1%}" for each in found] for kind, found in last.items()})

# %%
# Without a block it cannot know: the gradient of its answer with respect to the other mark is zero, exactly.

x, same, rows, columns = pictures(1, np.random.default_rng(7))
for kind, reaches in ("no block", False), ("embedded Gaussian", True):
    inputs = mv.tensor(x, requires_grad=True)
    at_marks(runs[kind][0][0].eval(), inputs, rows, columns)[0, 0].sum().backward()
    assert inputs.grad.numpy()[0, :, rows[0, 1], columns[0, 1]].any() == reaches
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for (kind, several), style in zip(runs.items(), ("k--", "C0o-", "C1s-"), strict=True):
    for seed, (_, curve) in enumerate(several):
        axis.plot(np.arange(1, 7) * (STEPS // 6), curve, style, markersize=4, label=kind if not seed else None)
axis.set(title="Has the other mark the same colour?", xlabel="steps", ylabel="right answers (a line: a seed)", ylim=(0.4, 1.03))
axis.legend(fontsize=9)
if not lesson.quick():
    assert np.all(np.abs(last["no block"] - 0.5) < 0.05)
    assert np.all(last["embedded Gaussian"] > 0.95)

# %%
# Where a mark looks
# ------------------
#
# The block's weights (below) for the query at the white cross (above): each cell is a key, 2 x 2 positions pooled. Nobody told it
# to look at the marks. Where one colour of query finds them and the other looks everywhere, that difference is all it needs.

model = runs["embedded Gaussian"][0][0].eval()
x, same, rows, columns = pictures(4, np.random.default_rng(11))
with mv.no_grad():
    weights = model[1].weights(model[0](mv.tensor(x))).numpy()  # (B, 256, 64)
figure, axes = plt.subplots(2, 4, figsize=(7.5, 4), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for i, (above, below) in enumerate(axes.T):
    above.imshow(np.moveaxis(x[i], 0, -1).clip(0, 1))
    above.plot(columns[i, 0, 0], rows[i, 0, 0], "w+", markersize=9)
    below.imshow(weights[i, rows[i, 0, 0] * SIDE + columns[i, 0, 0]].reshape(SIDE // 2, SIDE // 2), cmap="magma", vmin=0)
    above.set_title("the same" if same[i] else "not the same", fontsize=10)

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``nonlocal-scores``: how well two positions agree, and no pair written out.
# ``nonlocal-weights``: from scores to shares, where each form has its own divisor. ``nonlocal-output``: what is added to x.
