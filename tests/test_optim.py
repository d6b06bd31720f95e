"""Optimisers and schedules against their papers' formulas, kept apart from the code under test."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
from minivision import kernels, nn, optim

SHAPES = [(3, 4), (5,), ()]


def starts(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [nn.Parameter(np.asarray(rng.standard_normal(shape), dtype)) for shape in SHAPES]


with_kernels = pytest.mark.skipif(
    not kernels.AVAILABLE, reason=f"of the C kernels alone, which are not built on this machine: {kernels.REASON}"
)


def feed(params, step, skip=()):
    """The same gradients in every run; the parameters in `skip` get none."""
    rng = np.random.default_rng([1, step])
    for i, p in enumerate(params):
        gradient = mv.Tensor(np.asarray(rng.standard_normal(p.shape), p.dtype))
        p.grad = None if i in skip else gradient


def skipped(step):
    return {1} if step in (2, 5) else set()


def train(optimiser, params, steps, first=0):
    for step in range(first, first + steps):
        feed(params, step, skipped(step))
        optimiser.step()
    return [p.data.copy() for p in params]


def sgd(p, grads, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    """Sutskever et al. 2013, velocities summed from their definition: b_t = sum_s momentum^(t - s) c_s g_s, c_s = 1 for s = 0."""
    history = []
    for g in grads:
        history.append(g + weight_decay * p)
        t = len(history) - 1
        b = sum(momentum ** (t - s) * (1.0 if s == 0 else 1.0 - dampening) * g_s for s, g_s in enumerate(history))
        p = p - lr * (history[-1] + momentum * b if nesterov else b if momentum else history[-1])
    return p


def adam(p, grads, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    """Kingma & Ba 2015: the averages as weighted means of all gradients so far; Loshchilov & Hutter 2019 where decoupled."""
    history = []
    for g in grads:
        history.append(g if decoupled else g + weight_decay * p)
        ages = np.arange(len(history))[::-1]
        m, v = (
            np.average(np.array([h**power for h in history]), axis=0, weights=beta**ages)
            for power, beta in zip((1, 2), betas, strict=True)
        )
        p = (p - lr * weight_decay * p if decoupled else p) - lr * m / (np.sqrt(v) + eps)
    return p


def adamw(p, grads, weight_decay=1e-2, **settings):
    return adam(p, grads, weight_decay=weight_decay, decoupled=True, **settings)


RUNS = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05, "nesterov": True}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.2}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.2}),
]
IDS = [f"{kind.__name__} {settings}" for kind, _, settings in RUNS]


@pytest.mark.parametrize(("kind", "oracle", "settings"), RUNS, ids=IDS)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-13), (np.float32, 2e-6)])
def test_ten_steps_follow_the_formula(kind, oracle, settings, dtype, bound):
    params, before = starts(dtype), starts()
    arrays = [p.data for p in params]
    after = train(kind(params, **settings), params, 10)
    for i, p in enumerate(before):
        grads = []
        for step in range(10):
            feed(before, step)
            grads += [] if i in skipped(step) else [p.grad.data]
        np.testing.assert_allclose(after[i], oracle(p.data, grads, **settings), rtol=bound, atol=bound)
        assert after[i].dtype == dtype
        assert params[i].data is arrays[i]


@pytest.mark.parametrize(("kind", "oracle", "settings"), RUNS, ids=IDS)
def test_a_resumed_run_has_the_same_bits(kind, oracle, settings):
    straight, stopped, resumed = starts(np.float32), starts(np.float32), starts(np.float32)
    whole = kind(straight, **settings)
    expected = train(whole, straight, 10)
    first = kind(stopped, **settings)
    for p, values in zip(resumed, train(first, stopped, 4), strict=True):
        p.assign(values)
    second = kind(resumed, lr=99.0)
    state = first.state_dict()
    second.load_state_dict(state)
    for array in state.values():  # the optimiser owns its state
        array[...] = 0
    for p, q in zip(expected, train(second, resumed, 6, first=4), strict=True):
        np.testing.assert_array_equal(p, q)
    assert second.param_groups[0].keys() == whole.param_groups[0].keys()
    assert all(second.param_groups[0][name] == value for name, value in settings.items())


def test_groups_have_their_own_settings_and_may_change():
    a, b, c = starts()
    optimiser = optim.SGD([{"params": [a, b], "lr": 0.5}, {"params": c}], lr=0.1)
    before = [p.data.copy() for p in (a, b, c)]
    for lr in (0.5, 0.25):
        optimiser.param_groups[0]["lr"] = lr
        feed([a, b, c], 0)
        optimiser.step()
    for p, old, lr in zip((a, b, c), before, (0.75, 0.75, 0.2), strict=True):
        np.testing.assert_allclose(p.data, old - lr * p.grad.data, rtol=1e-14)


def test_a_step_is_noticed_by_the_tape_and_by_nobody_without_a_gradient():
    a, b, _ = params = starts()
    optimiser = optim.AdamW([("a", a), ("b", b)])
    y = (a * a).sum()
    feed(params, 0, skip={1})
    kept = b.data.copy()
    optimiser.step()
    with pytest.raises(mv.GraphError, match="changed in place"):
        y.backward()
    np.testing.assert_array_equal(b.data, kept)
    assert b.version[0] == 0
    optimiser.zero_grad()
    assert a.grad is b.grad is None


def test_a_state_that_does_not_fit_is_refused_whole():
    params = starts()
    optimiser = optim.AdamW(params, lr=0.5)
    train(optimiser, params, 2)
    before = {name: array.tobytes() for name, array in optimiser.state_dict().items()}
    other = optimiser.state_dict()
    other |= {
        "groups.0.lr": np.array(0.1),
        "state.0.exp_avg": np.zeros((2, 2)),
        "state.9.step": np.array(1),
        "nonsense": np.array(0),
    }
    del other["state.2.exp_avg_sq"], other["groups.0.eps"]
    with pytest.raises(mv.CheckpointError) as caught:
        optimiser.load_state_dict(other)
    rows = {line.split()[0]: line for line in str(caught.value).splitlines()[2:-1]}
    assert rows.keys() == {"state.0.exp_avg", "state.9.step", "nonsense", "state.2.exp_avg_sq", "groups.0.eps"}
    assert "(3, 4)" in rows["state.0.exp_avg"]
    assert "missing" in rows["groups.0.eps"]
    assert {name: array.tobytes() for name, array in optimiser.state_dict().items()} == before
    with pytest.raises(mv.CheckpointError, match="momentum_buffer"):
        optim.SGD(params, momentum=0.9).load_state_dict(optimiser.state_dict())


def test_settings_that_make_no_sense_are_refused():
    a, b, _ = starts()
    for settings, words in [
        ({"lr": -1.0}, "lr should be a number from 0 up"), ({"lr": math.nan}, "lr should be"), ({"eps": -1e-8}, "eps should be"),
        ({"betas": (0.9, 1.0)}, "betas should lie"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=words):
            optim.AdamW([a], **settings)
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        optim.SGD([a], nesterov=True)
    with pytest.raises(TypeError, match="no setting"):
        optim.SGD([{"params": [a], "beta": 1}])
    with pytest.raises(ValueError, match="got none"):
        optim.SGD([])
    with pytest.raises(ValueError, match="two places"):
        optim.SGD([{"params": [a, b]}, {"params": a}])
    with pytest.raises(TypeError, match="leaf Tensors, got Tensor made by an operation"):
        optim.SGD([a * 2.0])
    with pytest.raises(TypeError, match="leaf Tensors, got ndarray"):
        optim.SGD([np.zeros(3)])


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_scales_all_gradients_together(max_norm):
    params = starts()
    feed(params, 0, skip={1})
    before = [p.grad.data.copy() for p in params if p.grad is not None]
    norm = math.sqrt(math.fsum(float(x) ** 2 for g in before for x in np.ravel(g)))
    assert math.isclose(optim.clip_grad_norm_(params, max_norm), norm, rel_tol=1e-14)
    for p, g in zip([p for p in params if p.grad is not None], before, strict=True):
        np.testing.assert_allclose(p.grad.data, g * min(1.0, max_norm / (norm + 1e-6)), rtol=1e-14)


def test_clipping_takes_gradients_whose_squares_are_too_large():
    p = mv.tensor(np.zeros(3, np.float32), requires_grad=True)
    p.grad = mv.tensor(np.array([3e30, 0.0, 4e30], np.float32))
    assert math.isclose(optim.clip_grad_norm_([p], 1.0), 5e30, rel_tol=1e-6)
    np.testing.assert_allclose(p.grad.data, [0.6, 0.0, 0.8], rtol=1e-6)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_clipping_leaves_gradients_of_no_finite_norm(bad):
    params = starts()
    feed(params, 0)
    params[1].grad.data[0] = bad
    kept = params[0].grad.data.copy()
    assert not math.isfinite(optim.clip_grad_norm_(params, 1.0))
    np.testing.assert_array_equal(params[0].grad.data, kept)


@with_kernels
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "make",
    [
        lambda params: mv.optim.SGD(params, lr=0.1),
        lambda params: mv.optim.SGD(params, lr=0.1, weight_decay=0.2),
        lambda params: mv.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.2),
        lambda params: mv.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
        lambda params: mv.optim.AdamW(params, lr=0.1, weight_decay=0.2),
        lambda params: mv.optim.Adam(params, lr=0.1),
    ],
)
def test_the_kernels_step_as_numpy_does(make, threads, dtype):
    """Arrays that begin and end anywhere in the threads' shares; three steps, for what is kept from one to the next."""
    shapes, before = [(70_001,), (), (3, 5), (0, 4), (60_007,), (1,)], mv.get_num_threads()
    results = {}
    mv.set_num_threads(threads)
    for by in ("numpy", "c"):
        rng = np.random.default_rng(4)
        params = [mv.Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for shape in shapes]
        optimiser = make(params)
        with mv.backend(by):
            for _ in range(3):
                for p in params:
                    p.grad = mv.Tensor(np.asarray(rng.standard_normal(p.shape)).astype(dtype))
                optimiser.step()
        results[by] = [p.numpy() for p in params]
    mv.set_num_threads(before)
    for came, right in zip(results["c"], results["numpy"], strict=True):
        np.testing.assert_allclose(
            came, right, rtol=0, atol=32 * np.finfo(dtype).eps * max(1.0, np.max(np.abs(right), initial=0.0))
        )


@with_kernels
@pytest.mark.parametrize("kind", [optim.AdamW, optim.SGD])
def test_a_gradient_s_dense_copy_lives_until_the_step_is_done(kind, monkeypatch):
    """A gradient may be a transposed view. What is allocated after its copy must not lie where the copy does."""
    parameter = nn.Parameter(np.ones((40, 50), np.float32))
    parameter.grad = mv.tensor(np.ones((50, 40), np.float32)).transpose(0, 1)
    assert not parameter.grad.numpy().flags.c_contiguous
    others = []

    def threads():
        others.extend(np.full((40, 50), np.nan, np.float32) for _ in range(20))
        return 1

    monkeypatch.setattr("minivision.kernels.optim.get_num_threads", threads)
    with mv.backend("c"):
        kind([parameter], lr=0.5, weight_decay=0.0).step()
    assert others
    np.testing.assert_allclose(parameter.numpy(), 0.5, rtol=1e-4)
