r"""
Gradients in closed form, and checking one without fooling yourself
===================================================================

A wrong gradient does not crash. The loss still falls, only less far, and nobody knows. So each rule of a tape is checked against
numbers that know nothing of it, and the question of this lesson is which checks can be believed. We derive one gradient, then let
five checks loose on every wrong rule that the library keeps for its own tests, and count what each of them finds.

:Prerequisites: :doc:`01_tape`
"""

from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np

import minivision as mv
from minivision import functional as F
from minivision import lesson
from minivision.backend import backend
from minivision.op import OPS
from minivision.proof.cases import CASES, MUTANTS
from minivision.proof.checks import TAPE_BOUND, first_bound, mutated, tape_error
from minivision.proof.jacobian import closed_form, generator, numeric, pull, worst

rng = np.random.default_rng(0)

# %%
# A gradient in closed form
# -------------------------
#
# A linear layer is :math:`y_{no} = \sum_i x_{ni} w_{oi} + b_o`: image :math:`n`, input :math:`i`, output :math:`o`. Each
# :math:`w_{oi}` enters the outputs :math:`y_{no}` of all images, with slope :math:`x_{ni}`, and all those paths count:
#
# .. math:: \bar w_{oi} = \sum_n \bar y_{no} x_{ni}, \quad \bar x_{ni} = \sum_o \bar y_{no} w_{oi}, \quad
#    \bar b_o = \sum_n \bar y_{no} .
#
# The letters lead: a cotangent has the letters of its array, and is summed over all others. As matrices,
# :math:`\bar W = \bar Y^\top X` and :math:`\bar X = \bar Y W`.


def linear_vjp(dy, x, W):
    return dy @ W, dy.T @ x, dy.sum(axis=0)


x, W, b, dy = (rng.standard_normal(shape) for shape in [(5, 64), (10, 64), (10,), (5, 10)])
tensors = [mv.tensor(a, requires_grad=True) for a in (x, W, b)]
F.linear(*tensors).backward(dy)
for mine, tensor in zip(linear_vjp(dy, x, W), tensors, strict=True):
    np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-10, atol=1e-12)

# %%
# The numbers to check it with
# ----------------------------
#
# A central difference, :math:`\frac{f(x + h) - f(x - h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots`, needs :math:`f` alone. A
# large step leaves out the curve; a small one divides the rounding error :math:`u |f|` by :math:`h`. Their sum is least where
#
# .. math:: h^* = (3 u |f| / |f'''|)^{1/3}, \qquad \text{error} \approx \tfrac12 \, |f|^{2/3} |f'''|^{1/3} (3u)^{2/3} .
#
# The roundoff :math:`u` is :math:`2^{-53}` in float64 and :math:`2^{-24}` in float32. A *complex* step has no difference that
# could cancel: :math:`\mathrm{Im} f(x + ih) / h = f'(x) - \frac{h^2}{6} f'''(x) + \dots` where :math:`f` is analytic, and the
# step as small as one likes. The relative error for the exponential function, over a thousand points:

points, steps = np.linspace(-1, 1, 1000), np.logspace(-15, 0, 61)
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
for dtype, colour in [(np.float32, "tab:orange"), (np.float64, "tab:blue")]:
    at, errors = points.astype(dtype), []
    for h in steps.astype(dtype):
        apart = np.where(at + h == at - h, np.nan, (at + h) - (at - h))  # the step as the sums round it
        errors.append(np.sqrt(np.mean(((np.exp(at + h) - np.exp(at - h)) / apart / np.exp(at) - 1.0) ** 2)))
    u = np.finfo(dtype).eps / 2
    best, least = (3 * u) ** (1 / 3), (3 * u) ** (2 / 3) / 2  # f = f' = f'''
    found = steps[np.nanargmin(errors)]
    print(f"{dtype.__name__}: best step {found:.0e} (predicted {best:.0e}), error {np.nanmin(errors):.0e} ({least:.0e})")
    assert best / 10 < found < 10 * best
    assert least / 30 < np.nanmin(errors) < 3 * least
    axes.loglog(steps, errors, color=colour, label=f"central difference, {dtype.__name__}")
    axes.plot(best, least, "o", color=colour, markersize=9, label="its optimum, predicted")
exact = [np.max(np.abs(np.exp(points + 1j * h).imag / h / np.exp(points) - 1)) for h in steps]
axes.loglog(steps, np.maximum(exact, 1e-17), "--", color="tab:green", label="complex step, float64")
assert max(exact[:20]) < 1e-15
axes.set(title="Error of a numeric derivative against its step", xlabel="step h", ylabel="relative error", ylim=(1e-17, 1e8))
axes.legend(fontsize=9, ncols=2, loc="upper left")

# %%
# So a check in float32 proves nothing: its best error is as large as many faults. ``mv.gradcheck`` insists on float64, and holds
# every element of the Jacobian to 1e-6. On real digits, the loss of a linear classifier:

digits = mv.data.load("digits")
pixels, labels = mv.tensor(digits.train_images[:20].reshape(20, 64).astype(np.float64)), digits.train_labels[:20]
W, b = (mv.tensor(rng.standard_normal(shape) / 8, requires_grad=True) for shape in [(10, 64), (10,)])
assert mv.gradcheck(lambda W, b: F.cross_entropy(F.linear(pixels, W, b), labels), (W, b))
fault = next(mutant for mutant in MUTANTS["linear"] if mutant.fault == "weight transposed")
try:
    mv.gradcheck(
        mutated(OPS["linear"], fault), [mv.tensor(rng.standard_normal((2, 2)), requires_grad=True) for _ in "xW"] + [None]
    )
except mv.GradcheckError as error:
    print(error)

# %%
# The sum that hides
# ------------------
#
# Many a check reduces the output with ``.sum()`` and looks at the gradient of that. Then :math:`\bar y` is 1 everywhere, and a
# rule that puts right numbers in wrong places has nothing to put wrong. Take a transpose whose rule forgets to transpose back,
# and a softmax whose rule returns zeros: the outputs of a softmax always sum to 1, so the gradient of their sum *is* zero.


def numeric_vjp(f, x, dy, h=1e-6):
    steps = h * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([np.sum(dy * (f(x + step) - f(x - step))) / (2 * h) for step in steps]).reshape(x.shape)


x = rng.standard_normal((4, 4))
wrong_rules = {"transpose": (np.transpose, lambda dy: dy), "softmax": (F.softmax, np.zeros_like)}
for name, (f, wrong_vjp) in wrong_rules.items():
    for kind, dy in [("ones", np.ones((4, 4))), ("random", rng.standard_normal((4, 4)))]:
        error = np.max(np.abs(wrong_vjp(dy) - numeric_vjp(f, x, dy)))
        print(f"wrong {name}, dy {kind:>6}: off by {error:.0e}, {'FOUND' if error > 1e-6 else 'passes'}")
        assert (error > 1e-6) == (kind == "random")

# %%
# One element at a time
# ---------------------
#
# Another habit is to compare a few elements, picked at random, because differences for all are slow. If :math:`k` of :math:`n`
# elements are wrong, :math:`m` picks miss them with probability :math:`(1 - k/n)^m`. The cure costs less than one pick more: move
# *all* inputs at once along a random :math:`v`, and weigh all outputs with a random :math:`\bar y`. The two sides of
#
# .. math:: \langle \bar y, J v \rangle = \langle J^\top \bar y, v \rangle
#
# are two evaluations and one VJP, and every element takes part. Here the rule of the linear layer forgets parts of a column.

x, W, dy = (rng.standard_normal(shape) for shape in [(5, 64), (10, 64), (5, 10)])
right = numeric_vjp(lambda W: x @ W.T, W, dy)
picks, trials = np.array([1, 3, 10, 30, 100, 300]), 300 if lesson.quick() else 3000
figure, axes = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
for k, marker in [(1, "o"), (10, "s"), (64, "^")]:
    mine = linear_vjp(dy, x, W)[1]
    mine.T.flat[:k] = 0.0
    visible = np.abs(mine - right).ravel() > 1e-6
    missed = np.array([np.mean(~visible[rng.integers(W.size, size=(trials, m))].any(axis=1)) for m in picks])
    predicted = (1 - k / W.size) ** picks
    assert np.all(np.abs(missed - predicted) < 5 * np.sqrt(predicted * (1 - predicted) / trials) + 2 / trials)
    (line,) = axes.plot(picks, predicted, label=f"{k} of {W.size} wrong")
    axes.plot(picks, missed, marker, color=line.get_color())
    directions = rng.standard_normal((trials, W.size))
    assert np.all(np.abs(directions @ (mine - right).ravel()) > 1e-6)  # not one random direction misses it
axes.set(title="How often random picks miss a fault", xlabel="elements picked (lines: predicted, marks: measured)")
axes.set(xscale="log", ylabel="share of checks that pass")
axes.legend()

# %%
# Kinks
# -----
#
# A difference across a kink is the slope of neither side. For ReLU that happens to every element closer to 0 than the step; of
# :math:`n` normally distributed ones, to about :math:`2 h n / \sqrt{2\pi}`. Draw the inputs away from kinks, and put a tie by
# hand where it is meant: at a tie of a maximum, the library shares the cotangent, and the central difference agrees.

x = rng.standard_normal(1_000_000)
for h in (1e-2, 1e-3):
    difference = (np.maximum(x + h, 0) - np.maximum(x - h, 0)) / (2 * h)
    off, expected = int(np.sum(np.abs(difference - (x > 0)) > 1e-6)), 2 * h * x.size / np.sqrt(2 * np.pi)
    print(f"h = {h}: {off} of {x.size} elements off, expected {expected:.0f}")
    assert abs(off - expected) < 6 * np.sqrt(expected)
tie = mv.tensor([2.0, 2.0, 1.0], requires_grad=True, dtype=np.float64)
tie.max().backward()
np.testing.assert_allclose(tie.grad.numpy(), numeric_vjp(np.max, tie.data, 1.0), atol=1e-9)
print("the gradient of max at a tie:", tie.grad.numpy())

# %%
# Every wrong rule of the library
# -------------------------------
#
# Beside each operation the library keeps *mutants*, rules with one plausible fault that its tests must reject. Five checks meet
# them here: the sum; one element, picked at random, for a random :math:`\bar y`; a random direction; the whole Jacobian; and the
# *tape through the definition*. That last one runs the definition on Tensors and differentiates through the elementary operations
# inside: a gradient that shares no algebra with the closed form, and agrees with it to 1e-10 where differences stop at 1e-6. What
# has no operations inside cannot be checked so.

CHECKS = ["sum", "one element", "direction", "Jacobian", "through tape"]
KINDS = {"element by element": "elementary elementwise activation", "moving elements": "indexing pad shape windows embedding"}
KINDS |= {"sums, extremes": "reduce scan order pool", "products": "matmul linalg conv conv_transpose attention"}
KINDS |= {
    "normalising": "softmax norm batch_norm group_norm vector_norm weight_norm",
    "sampling, losses": "resample sample loss ctc",
}


def found_by(op, case):
    rng = generator(op, case)
    args, bound = case.arguments(rng), first_bound(case)
    y, kept = op.definition(*args, **case.attrs)
    J = numeric(lambda x: op.definition(*x, **case.attrs)[0], args, case.complex_step)
    dy = np.asarray(rng.standard_normal(np.shape(y))).astype(y.dtype)
    if not J.size:  # no rows, nothing to find
        return [False] * len(CHECKS)
    try:
        pulled, expected = pull(op, dy, kept, args, case.attrs), np.ravel(dy) @ J
    except mv.ShapeError:  # a rule that crashes gives itself away
        return [True] * len(CHECKS)
    i, v = rng.integers(expected.size), rng.standard_normal(expected.size)
    errors = [worst(pull(op, np.ones_like(dy), kept, args, case.attrs), J.sum(axis=0)), worst(pulled[i], expected[i])]
    errors += [worst(pulled @ v, expected @ v), worst(closed_form(op, args, case.attrs), J)]
    return [*(error > bound for error in errors), (tape_error(op, case) or 0.0) > TAPE_BOUND]


def survey(files, most):
    for name, mutants in [
        pair for file in files.split() for pair in import_module(f"minivision.proof.cases.{file}").MUTANTS.items()
    ]:
        for op in [mutated(OPS[name], mutant) for mutant in mutants if mutant.vjp]:
            yield np.any([found_by(op, case) for case in CASES[name][:most]], axis=0)


with backend("numpy"), np.errstate(all="ignore"):
    for most in (1,) if lesson.quick() else (1, 99):
        table = [np.array(list(survey(files, most))) for files in KINDS.values()]
        rules = np.concatenate(table)
        found, total, missed = rules.sum(axis=0), len(rules), int(np.sum(~rules.any(axis=1)))
        counts = ", ".join(f"{check} {count}" for check, count in zip(CHECKS, found, strict=True))
        print(f"{'one case each' if most == 1 else 'all cases'}: of {total} wrong rules found by {counts}; by none {missed}")
        assert (missed > 0) == (most == 1)
        assert found[CHECKS.index("sum")] < 0.95 * total
assert lesson.quick() or found[CHECKS.index("direction")] == total

shares = np.array([rows.mean(axis=0) for rows in table])
figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
axes.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto")
for (row, column), share in np.ndenumerate(shares):
    axes.text(column, row, f"{share:.0%}", ha="center", va="center", color="black" if share > 0.5 else "white")
axes.set(title="Wrong rules found, by kind of operation and by check")
axes.set_xticks(range(len(CHECKS)), CHECKS)
axes.set_yticks(range(len(KINDS)), KINDS)

# %%
# The sum is blind to whatever moves elements about. One element is good on small cases, and only there. The direction finds every
# fault, even the one that the Jacobian misses: a rule that rounds :math:`\bar y`, which leaves unit vectors as they are. What the
# Jacobian adds is the place of the fault, so the library runs both, and the tape. And no check sees what its arguments do not
# show: on a single case for each operation many faults passed them all.
#
# Exercises
# ---------
#
# ``minivision exercise start ID``: ``sigmoid-gradient`` and ``complex-step`` are easy; ``central-differences`` is what gradcheck
# stands on; ``max-gradient`` has ties; ``product-gradient`` has zeros among its factors, so that nothing may be divided.
