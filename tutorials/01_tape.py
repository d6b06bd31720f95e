r"""
The tape: from numbers to arrays
================================

A network is one long expression, and training asks of it one question: how does the last number, the loss, move when any one of
the weights moves a little? Asked weight by weight, a million weights cost a million evaluations; asked backwards, about two or
three. This lesson writes that walk back in ten lines, breaks it in the usual ways, and ends at the library's own tape.

:Prerequisites: none
"""

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import lesson, ops

# %%
# One expression, by hand
# -----------------------
#
# Take :math:`y = (ab + a)^2` and give a name to every result on the way: :math:`u = ab`, :math:`v = u + a`, :math:`y = v^2`.
# Write :math:`\bar x` for :math:`\partial y / \partial x`, the *cotangent* of :math:`x`. The last one is known without any work,
# :math:`\bar y = 1`, and each line gives the cotangents of what stands on its right from that of what stands on its left:
#
# .. math:: \bar v = 2v\,\bar y, \qquad \bar u = \bar v, \qquad \bar b = a\,\bar u, \qquad \bar a = \bar v + b\,\bar u .
#
# The last sum is the one thing to remember: :math:`a` is used twice, moves :math:`y` along two paths, and both count.

a, b, step = 2.0, 3.0, 1e-6
u, v = a * b, a * b + a
v_bar = u_bar = 2 * v
a_bar, b_bar = v_bar + b * u_bar, a * u_bar
moved = [(((a + da) * (b + db) + a + da) ** 2 - v**2) / step for da, db in [(step, 0), (0, step)]]  # knows no chain rule
np.testing.assert_allclose([a_bar, b_bar], moved, rtol=1e-5)
places = {"a": (0, 0, a, a_bar), "b": (0, 2, b, b_bar), "u = ab": (1, 1.4, u, u_bar), "v = u + a": (2, 0.7, v, v_bar)}
places["y = v²"] = (3, 0.7, v**2, 1.0)
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained", subplot_kw={"frame_on": False, "xticks": [], "yticks": []})
for ends in ["au", "bu", "uv", "av", "vy"]:
    tail, head = (next(place[:2] for name, place in places.items() if name[0] == end) for end in ends)
    axes.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "shrinkA": 26, "shrinkB": 26, "color": "grey"})
for name, (across, up, value, bar) in places.items():
    axes.text(across, up, f"{name}\n{value:g}", ha="center", va="center", bbox={"boxstyle": "round", "fc": "white"})
    axes.text(across, up - 0.45, f"cotangent {bar:g}", ha="center", va="center", color="tab:red")
axes.set(title="Values go right, cotangents come back left", xlim=(-0.4, 3.4), ylim=(-0.6, 2.4))

# %%
# A tape in ten lines
# -------------------
#
# Nothing above needed thought once the lines stood there, so let the values write them. Each remembers its parents, and how a
# cotangent goes back to each; the *tape* lists all values in order of creation. The walk back takes it from the end.

TAPE = []


class Value:
    def __init__(self, value, parents=()):
        self.value, self.parents, self.bar = value, parents, 0.0
        TAPE.append(self)


Value.__add__ = lambda a, b: Value(a.value + b.value, [(a, lambda dy: dy), (b, lambda dy: dy)])
Value.__mul__ = lambda a, b: Value(a.value * b.value, [(a, lambda dy: dy * b.value), (b, lambda dy: dy * a.value)])


def backward(y, order, forget=False):
    for node in TAPE:
        node.bar = float(node is y)
    for node in order:
        for parent, pull in node.parents:
            parent.bar = pull(node.bar) + (0.0 if forget else parent.bar)


a, b = Value(2.0), Value(3.0)
v = a * b + a
y = v * v
backward(y, reversed(TAPE))
np.testing.assert_allclose([a.bar, b.bar], [a_bar, b_bar])

# %%
# **The forgotten sum.** The most common fault of all is ``bar =`` where ``bar +=`` belongs. An expression that uses each value
# once still comes out right, so the fault passes the tests that one writes first. Here the path that arrives last wins, and the
# others are lost; even :math:`v \cdot v` uses its :math:`v` twice.

backward(y, reversed(TAPE), forget=True)
print(f"with =   da = {a.bar:g}, db = {b.bar:g}\nwith +=  da = {a_bar:g}, db = {b_bar:g}, as by hand")
assert (a.bar != a_bar) & (b.bar != b_bar)

# %%
# In what order?
# --------------
#
# A node may hand on its cotangent only when all who used it have paid in. Let :math:`s = x^2`, :math:`y = s + s \cdot s`. A walk
# outwards from :math:`y`, *nearest first*, comes to :math:`s` before :math:`s \cdot s` has paid, and hands on too little. *Newest
# first* is always right, and needs no search: who uses a value is made after it, so all its users are behind the walk.

TAPE.clear()
x = Value(3.0)
s = x * x
y = s + s * s
nearest_first = [y]
for node in nearest_first:  # the list grows while it is walked
    nearest_first += [parent for parent, _ in node.parents if parent not in nearest_first]
for name, order in {"nearest first": nearest_first, "newest first": TAPE[::-1]}.items():
    backward(y, order)
    print(f"{name}: dx = {x.bar:g}; exact is {2 * 3.0 + 4 * 3.0**3:g}")
    assert (x.bar == 2 * 3.0 + 4 * 3.0**3) == (name == "newest first")

# %%
# Or let every arrival run on to the inputs by itself: the chain rule as it is taught, a sum over all paths, and correct. But
# paths multiply. Where each of :math:`n` values is used twice by the next there are :math:`2^n`; the tape needs :math:`n + 1`
# steps, for it adds up before it goes on. And it is a loop: a recurrent network is easily a chain of a hundred thousand nodes,
# and the stack, on which functions that call themselves live, is a thousand deep.


def along_every_path(node, bar=1.0):  # -> the number of calls
    node.bar += bar
    return 1 + sum(along_every_path(parent, pull(bar)) for parent, pull in node.parents)


visits, depths = [], range(1, 13)
for depth in depths:
    TAPE.clear()
    x = y = Value(1.0)
    for _ in range(depth):
        y = y + y
    visits.append((along_every_path(y), len(TAPE)))
    assert (x.bar, *visits[-1]) == (2**depth, 2 ** (depth + 1) - 1, depth + 1)
figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
axes.semilogy(depths, visits, "o-", label=["every path by itself", "the tape, newest first"])
axes.set(title="Visits of a walk back, each value used twice", xlabel="depth of the expression", ylabel="visits")
axes.legend()

n = 10_000 if lesson.quick() else 100_000
TAPE.clear()
x = y = Value(1.0)
t = s = mv.tensor(1.0, requires_grad=True, dtype=np.float64)
for _ in range(n):
    y, s = y * Value(1 - 1 / n), s * (1 - 1 / n)
backward(y, reversed(TAPE))
s.backward()  # the library's walk is a loop too
np.testing.assert_allclose([x.bar, t.grad.item()], (1 - 1 / n) ** n)  # nearly 1/e
try:
    raise AssertionError(f"the stack was deep enough for {along_every_path(y)} calls")
except RecursionError as error:
    print(f"a chain of {n}, by the loop: dx = {x.bar:.6f}, 1/e = {np.exp(-1):.6f}; by recursion: {error}")

# %%
# From numbers to arrays: no Jacobians
# ------------------------------------
#
# Between arrays a slope is a matrix, the Jacobian :math:`J`: a row for each output, a column for each input. The walk back needs
# only the product :math:`\bar x = J^\top \bar y`, the *vector-Jacobian product* (VJP), and can have it without :math:`J`. For a
# layer :math:`Y = XW` it is :math:`\bar W = X^\top \bar Y`. Here are both, compared in value and in size.

rng = np.random.default_rng(0)
for count in (1, 4, 16):
    X, Y_bar = rng.standard_normal((count, 64)), rng.standard_normal((count, 32))
    J = np.kron(X, np.eye(32))  # dY_bo / dW_io = X_bi
    W_bar = X.T @ Y_bar
    np.testing.assert_allclose(W_bar.ravel(), J.T @ Y_bar.ravel(), rtol=1e-9, atol=1e-12)
    size, touched = J.nbytes / 2**10, (X.nbytes + Y_bar.nbytes + W_bar.nbytes) / 2**10
    print(f"{count:2} images: J takes {size:.0f} KiB, {np.mean(J == 0):.1%} of it zeros; the VJP touches {touched:.0f} KiB")

# %%
# **Broadcasting is using a value many times.** In :math:`XW + b` NumPy adds the vector :math:`b` to each row. So each of its
# numbers is used once a row, and its cotangents add up: a sum over the repeated axes. Nothing else changes for arrays.


def unbroadcast(dy, shape):
    dy = np.sum(dy, axis=tuple(range(np.ndim(dy) - len(shape))))  # axes that were put in front
    return np.sum(dy, axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


Value.__add__ = lambda a, b: Value(a.value + b.value, [(p, lambda dy, p=p: unbroadcast(dy, np.shape(p.value))) for p in (a, b)])
Value.__matmul__ = lambda a, b: Value(a.value @ b.value, [(a, lambda dy: dy @ b.value.T), (b, lambda dy: a.value.T @ dy)])
Value.tanh = lambda a: Value(np.tanh(a.value), [(a, lambda dy: dy * (1 - np.tanh(a.value) ** 2))])
Value.mean = lambda a: Value(np.mean(a.value), [(a, lambda dy: np.full(a.value.shape, dy / a.value.size))])

dy = rng.standard_normal((5, 4, 3))
for shape in [(5, 4, 3), (4, 3), (3,), (4, 1), (5, 1, 1), ()]:
    np.testing.assert_allclose(unbroadcast(dy, shape), ops.elementwise.unbroadcast(dy, shape), rtol=1e-12)

# %%
# A network on it: threes against eights
# --------------------------------------
#
# Digits of 8 x 8 pixels; one hidden layer of eight; the loss is the mean of :math:`(y - t)^2` with :math:`t = \pm 1`. The same
# lines run on our Values and on the library's Tensors, and give the same gradients at every step.

d, parts = mv.data.load("digits"), []
for images, labels in [(d.train_images, d.train_labels), (d.test_images, d.test_labels)]:
    chosen = (labels == 3) | (labels == 8)
    parts += [images[chosen].reshape(-1, 64).astype(np.float64), np.where(labels[chosen] == 3, 1.0, -1.0)[:, None]]
x, t, x_test, t_test = parts

curves, right, steps = [], [], 20 if lesson.quick() else 200
for seed in range(5):
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((64, 8)) / 8, np.zeros(8), rng.standard_normal((8, 1)) / 8**0.5, np.zeros(1)]
    curves.append([])
    for _ in range(steps):
        TAPE.clear()
        mine, theirs = [Value(w) for w in weights], [mv.tensor(w, requires_grad=True) for w in weights]
        networks = (Value, mine), (mv.tensor, theirs)
        error, same = ((wrap(x) @ W + b).tanh() @ w + c + wrap(-t) for wrap, (W, b, w, c) in networks)
        loss = (error * error).mean()
        backward(loss, reversed(TAPE))
        (same * same).mean().backward()
        for leaf, tensor in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(leaf.bar, tensor.grad.numpy(), rtol=1e-9, atol=1e-12)
            leaf.value -= 0.05 * leaf.bar  # in the memory of `weights`
        curves[-1].append(loss.value)
    right.append(np.mean((np.tanh(x_test @ weights[0] + weights[1]) @ weights[2] + weights[3] > 0) == (t_test > 0)))
print(f"of {len(t_test)} test images right: {min(right):.1%} to {max(right):.1%}, by seed")
assert lesson.quick() or min(right) > 0.9
figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
axes.semilogy(np.transpose(curves), color="tab:blue", alpha=0.6)
axes.set(title="Our tape learns 3 against 8, five seeds", xlabel="step", ylabel="mean squared error")

# %%
# Gradients of gradients
# ----------------------
#
# The walk back is made of products and sums too, so a tape could record it. Ours cannot: its rules compute with ``.value``. The
# library's rules are NumPy expressions of the cotangent and of what the operation kept, and run on Tensors as on arrays. What was
# kept are arrays; so for a gradient of a gradient the definition is *replayed* on the input Tensors:
#
# .. literalinclude:: ../../minivision/op.py
#    :pyobject: Op.replay
#    :caption: minivision/op.py

points = mv.tensor(np.linspace(-3, 3, 201), requires_grad=True)
derivatives = [points.tanh()]
for _ in range(3):
    derivatives.append(mv.grad(derivatives[-1].sum(), points, create_graph=True))
y, lines = np.tanh(points.data), np.array([line.data for line in derivatives])
np.testing.assert_allclose(lines, [y, 1 - y**2, -2 * y * (1 - y**2), (1 - y**2) * (6 * y**2 - 2)], rtol=1e-9, atol=1e-12)
figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
axes.plot(points.data, lines.T, label=["tanh", "first", "second", "third"])
axes.set(title="tanh and three derivatives, each from the tape of the one before", xlabel="x", ylabel="value")
axes.legend()

# %%
# Exercises
# ---------
#
# ``minivision exercise start ID`` cuts a function out of the library for you to write: ``unbroadcast``; ``quotient-gradient``, a
# rule of two inputs; ``walk-order``, the nodes, newest first; and ``walk-back``, the walk with all that the library asks of it.
