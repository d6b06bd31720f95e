r"""
Many labels in one picture: residual attention
==============================================

A photograph shows a dog, a ball and a bench, and a network should name all three. Its last step averages over the whole map, and
the ball is a small part of it. What should each class look at? Residual attention (Zhu and Wu 2021) lets a class's scores weigh
themselves. We follow it from the mean to the largest score, derive its gradient, and measure whether it helps.

:Prerequisites: :doc:`05_attention`, :doc:`10_data`
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson, metrics, nn, optim
from minivision.models.csra import CSRA, HARD, MHA, TEMPERATURES, class_attention

mv.set_num_threads(1)  # so small a network is not worth a second thread
rng = np.random.default_rng(0)

# %%
# Scores that weigh themselves
# ----------------------------
#
# A class has a vector :math:`m_i`, scaled to length 1; each position :math:`j` of the map has features :math:`x_j`. The score is
# :math:`s_j = x_j^\top m_i`. Average pooling takes the mean of the scores. The paper adds an attention (section 3.1) for
# the logit :math:`y`:
#
# .. math:: a = \sum_j p_j s_j, \quad p_j = \frac{e^{T s_j}}{\sum_k e^{T s_k}}, \;\; y = \frac1N \sum_j s_j + \lambda a .
#
# In lines, and against the library's:


def residual_attention(x, m, T, lam):  # x (B, D, N), m (C, D) -> logits (B, C)
    s = m / np.linalg.norm(m, axis=1, keepdims=True) @ x  # (B, C, N)
    p = np.exp(T * s) / np.exp(T * s).sum(-1, keepdims=True)
    return s.mean(-1) + lam * (p * s).sum(-1)


x, head = rng.standard_normal((2, 8, 5, 5)), CSRA(8, 3, 2.0, 0.4).double()
mine = residual_attention(x.reshape(2, 8, 25), head.head.weight.numpy().reshape(3, 8), 2.0, 0.4)
np.testing.assert_allclose(head(mv.tensor(x)).numpy(), mine, rtol=1e-12)

# %%
# Two ends of one scale
# ---------------------
#
# At :math:`T = 0` all weights are equal: :math:`a` is the mean, and the logit :math:`1 + \lambda` times it. As :math:`T` grows,
# the largest score takes all, and :math:`a` is the maximum. Between, it only rises, for its slope is a variance,
#
# .. math:: \frac{\partial a}{\partial T} = \sum_j p_j (s_j - a)^2 \ge 0 .
#
# The authors write 99 for an infinite temperature, and take the maximum at once.

s = head.scores(mv.tensor(x)).detach()  # (B, C, N)
mean, largest = s.numpy().mean(-1), s.numpy().max(-1)
np.testing.assert_allclose(class_attention(s, 0.0).numpy(), mean, rtol=1e-12)
ends = [np.abs(class_attention(s, 1e-9).numpy() - mean).max(), np.abs(class_attention(s, 1e4).numpy() - largest).max()]
assert ends[0] < 1e-8
assert ends[1] < 1e-12
np.testing.assert_array_equal(class_attention(s, HARD).numpy(), largest)
temperatures = np.linspace(0, 12, 60)
curve = np.array([class_attention(s, T).numpy()[0, 0] for T in temperatures])
p = np.exp(3.0 * s.numpy()) / np.exp(3.0 * s.numpy()).sum(-1, keepdims=True)
variance = (p * s.numpy() ** 2).sum(-1) - (p * s.numpy()).sum(-1) ** 2
slope = (class_attention(s, 3.0 + 1e-5) - class_attention(s, 3.0 - 1e-5)).numpy() / 2e-5
np.testing.assert_allclose(slope, variance, rtol=1e-6)

# %%
# What a position learns
# ----------------------
#
# The scores are in :math:`a` twice, as weights and values. From :math:`\partial p_k / \partial s_j = T p_k (\delta_{kj} - p_j)`,
#
# .. math:: \frac{\partial a}{\partial s_j} = p_j + \sum_k s_k T p_k (\delta_{kj} - p_j) = p_j \left(1 + T (s_j - a)\right) .
#
# Averaging gives every position :math:`1/N` of the gradient. The maximum gives one position all of it. In between, a score below
# :math:`a - 1/T` is even pushed *down* when the class should be seen: other places are told that they do not show it. The shares
# add up to one at every temperature.

T = 3.0
leaf = mv.tensor(s.numpy().copy(), requires_grad=True)
a = class_attention(leaf, T)
a.sum().backward()
closed = p * (1 + T * (s.numpy() - a.numpy()[..., None]))
np.testing.assert_allclose(leaf.grad.numpy(), closed, rtol=1e-11, atol=1e-15)
np.testing.assert_allclose(closed.sum(-1), 1.0, rtol=1e-12)
print(f"largest difference between closed form and tape: {np.abs(leaf.grad.numpy() - closed).max():.0e}")

figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.1), layout="constrained")
axes[0].plot(temperatures, curve)
for level, name in (mean[0, 0], "mean"), (largest[0, 0], "largest"):
    axes[0].axhline(level, color="grey", linestyle=":")
    axes[0].text(12, level, name, va="bottom", ha="right")
axes[0].set(title="One class's attention", xlabel="temperature T", ylabel="a", ymargin=0.12)
line = np.linspace(-2, 2, 41)
for T in (0.0, 1.0, 3.0, 8.0):
    share = np.exp(T * line) / np.exp(T * line).sum()
    axes[1].plot(line, share * (1 + T * (line - (share * line).sum())), label=f"T = {T:g}")
axes[1].set(title="Whose score learns how much", xlabel="score of a position", ylabel="share of the gradient", ylim=(-0.1, 0.5))
axes[1].legend(fontsize=9)

# %%
# Heads in place of tuning
# ------------------------
#
# Which temperature is right depends on how large the objects are, which differs from class to class. So there are several heads
# of fixed temperatures, and their logits are added (section 3.3).

print({count: ["infinite" if T == HARD else T for T in chosen] for count, chosen in TEMPERATURES.items()})
heads = MHA(4, 0.4, 8, 3).double()
np.testing.assert_allclose(heads(mv.tensor(x)).numpy(), sum(each(mv.tensor(x)).numpy() for each in heads.multi_head), rtol=1e-12)

# %%
# Digits on a canvas
# ------------------
#
# Two digits at random places, not over each other, in noise; the labels are which digits there are. The digits are 8 x 8 pixels
# always; the canvas is 16 x 16, where one covers a quarter, or 24 x 24, where it covers a ninth. Training canvases take
# their digits from the training images, test canvases from the others.

digits = mv.data.load("digits")
SEEDS, STEPS, SIZES = (1, 4, (60, 40)) if lesson.quick() else (3, 240, (1000, 500))
CANVASES = {"large objects": 16, "small objects": 24}


def canvases(count, images, labels, side, rng):  # -> (N, 1, side, side), labels (N, 10) of 0 and 1
    x = 0.3 * rng.standard_normal((count, 1, side, side)).astype(np.float32)
    y, ink = np.zeros((count, 10), np.float32), images[:, 0] - images.min()
    for i in range(count):
        at = np.zeros((2, 2), int)
        while np.abs(at[0] - at[1]).max() < 8:
            at = rng.integers(side - 7, size=(2, 2))
        for (row, column), j in zip(at, rng.integers(len(labels), size=2), strict=True):
            x[i, 0, row : row + 8, column : column + 8] += ink[j]
            y[i, labels[j]] = 1
    return x, y


class AveragePooling(nn.Module):  # the usual end, and a linear layer
    def __init__(self, features, classes):
        super().__init__()
        self.fc = nn.Linear(features, classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


ENDS = {
    "average": lambda: AveragePooling(32, 10),
    "1 head": lambda: MHA(1, 0.1, 32, 10),  # lam: the authors' for VOC 2007; 0.5, tried shorter, was unsteady
    "4 heads": lambda: MHA(4, 0.1, 32, 10),
}


def convolution(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


def trained(end, train, seed):
    mv.manual_seed(seed)
    model = nn.Sequential(*convolution(1, 12), nn.MaxPool2d(2), *convolution(12, 24), *convolution(24, 32), end())
    optimizer, order = optim.AdamW(model.parameters(), lr=1e-2), np.random.default_rng(seed)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / STEPS)
        chosen = order.choice(len(train[0]), 32, replace=False)
        loss = F.binary_cross_entropy_with_logits(model(mv.tensor(train[0][chosen])), train[1][chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@mv.no_grad()
def mean_average_precision(model, x, y):
    logits = [model(mv.tensor(part)).numpy() for part in np.array_split(x, 5)]
    return metrics.mean_average_precision(np.concatenate(logits), y)


found, models, pictures = {}, {}, {}
for name, side in CANVASES.items():
    train = canvases(SIZES[0], digits.train_images[:], digits.train_labels, side, np.random.default_rng(1))
    pictures[name] = canvases(SIZES[1], digits.test_images[:], digits.test_labels, side, np.random.default_rng(2))
    for end, make in ENDS.items():
        several = [trained(make, train, seed) for seed in range(SEEDS)]
        models[name, end] = several[0]
        found[name, end] = np.array([mean_average_precision(model, *pictures[name]) for model in several])
        print(f"{name}, {end:>7}: mAP by seed " + ", ".join(f"{each:.3f}" for each in found[name, end]))

# %%
# The verdict
# -----------
#
# The same network, the same canvases, the same steps; only the last step differs. The networks are small and trained
# briefly: what is compared is how far each comes in equal time, not where each would end.

figure, axis = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for (i, name), shift in zip(enumerate(CANVASES), (0.15, -0.15), strict=True):
    for row, end in enumerate(ENDS):
        values = found[name, end]
        axis.plot(values, np.full(len(values), row + shift), "o", color=f"C{i}", label=name if not row else None)
        axis.plot([values.mean()] * 2, [row + shift - 0.1, row + shift + 0.1], color=f"C{i}")
axis.set(xlabel="mean average precision (dot: a seed; bar: their mean)", title="The last step of a network")
axis.set_yticks(range(len(ENDS)), ENDS)
axis.invert_yaxis()
axis.legend(fontsize=9)

told = "; ".join(
    f"{name}: average {found[name, 'average'].mean():.3f} (seeds {found[name, 'average'].min():.3f} to "
    f"{found[name, 'average'].max():.3f}), 1 head {found[name, '1 head'].mean():.3f} ({found[name, '1 head'].min():.3f} to "
    f"{found[name, '1 head'].max():.3f}), 4 heads {found[name, '4 heads'].mean():.3f}"
    for name in CANVASES
)
higher = all(found[name, end].min() > found[name, "average"].max() for name in CANVASES for end in ("1 head", "4 heads"))
lesson.claim("C12", f"T = 1e-9 gives the mean to {ends[0]:.0e}, T = 1e4 the maximum to {ends[1]:.0e}; mAP of {SEEDS} seeds, two "
             f"digits a canvas, {told}", "holds at this scale" if higher else "does not hold here")  # fmt: skip

# %%
# What each class looks at
# ------------------------
#
# The weights :math:`p_j` of the two classes that are there, from the network with one head.

x, y = (each[:3] for each in pictures["small objects"])
model = models["small objects", "1 head"]
head = model[-1].multi_head[0]
with mv.no_grad():
    s = head.scores(model[:-1](mv.tensor(x)))
    weights = F.softmax(head.T * s, dim=-1).numpy().reshape(3, 10, 12, 12)
figure, axes = plt.subplots(2, 6, figsize=(8.5, 3.1), layout="constrained", width_ratios=[1.3, 1, 1.3, 1, 1.3, 1])
for i in range(3):
    for axis in axes[:, 2 * i]:
        axis.remove()
    whole = figure.add_subplot(axes[0, 0].get_gridspec()[:, 2 * i])
    whole.imshow(x[i, 0], cmap="gray_r")
    whole.set(xticks=[], yticks=[])
    for axis, label in zip(axes[:, 2 * i + 1], np.resize(np.flatnonzero(y[i]), 2), strict=True):
        axis.imshow(weights[i, label], cmap="magma")
        axis.set_title(f"digit {label}", fontsize=9)
        axis.set(xticks=[], yticks=[])

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` begins one. ``class-attention``: from the mean to the largest. ``unit-classifier``: scores by
# direction. ``residual-attention``: two ways of pooling, added. ``tokens-as-map``: a vision transformer's tokens as a map.
