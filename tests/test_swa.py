"""Stochastic weight averaging: the mean, batch normalisation measured anew, and the law of one noisy weight."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import minivision as mv
from minivision import nn, optim, schedule
from minivision.swa import SWA, update_batch_norm

EPS = np.finfo(np.float64).eps
SHAPES = [(3, 4), (5,), ()]


def starts(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [nn.Parameter(np.asarray(rng.standard_normal(shape), dtype)) for shape in SHAPES]


def take(optimiser, params, steps, first=1):
    """Steps with gradients that the step's number decides; the weights after each."""
    path = []
    for t in range(first, first + steps):
        rng = np.random.default_rng([1, t])
        for p in params:
            p.grad = mv.Tensor(np.asarray(rng.standard_normal(p.shape), p.dtype))
        optimiser.step()
        path.append([p.data.copy() for p in params])
    return path


@pytest.mark.parametrize(("kind", "settings"), [(optim.SGD, {"lr": 0.1, "momentum": 0.9}), (optim.AdamW, {"lr": 0.05})])
@pytest.mark.parametrize(("start", "every", "counted"), [(4, 1, range(4, 13)), (5, 3, [5, 8, 11]), (0, 4, [0, 4, 8, 12])])
def test_the_average_is_numpys_mean_of_the_weights_that_count(kind, settings, start, every, counted):
    params = starts()
    first = [p.data.copy() for p in params]
    optimiser = SWA(kind(params, **settings), start, every)
    path = [first, *take(optimiser, params, 12)]
    alone = starts()
    last = take(kind(alone, **settings), alone, 12)[-1]
    with optimiser.averaged():
        for i, p in enumerate(params):
            visited = np.array([path[t][i] for t in counted])
            # One rounding in each of three operations for each weight that came, all of them at most of the largest's size.
            np.testing.assert_allclose(p.data, visited.mean(axis=0), rtol=0, atol=4 * len(visited) * EPS * np.abs(visited).max())
    assert optimiser.n_averaged == len(counted)
    for p, want in zip(params, last, strict=True):
        np.testing.assert_array_equal(p.data, want)  # training goes on from the last weights, which averaging did not touch


def test_float32_weights_have_a_mean_that_is_rounded_once():
    params = starts(np.float32)
    optimiser = SWA(optim.SGD(params, lr=0.01), start=1)
    path = take(optimiser, params, 300)
    with optimiser.averaged():
        for i, p in enumerate(params):
            want = np.mean([each[i] for each in path], axis=0, dtype=np.float64)
            assert p.dtype == np.float32
            np.testing.assert_array_less(np.abs(p.data - want), 0.500001 * np.spacing(np.abs(want).astype(np.float32)))


def test_averages_may_be_taken_by_hand_and_kept():
    params = starts()
    optimiser = SWA(optim.SGD(params, lr=0.1), start=None)
    with pytest.raises(ValueError, match="averaged nothing yet"), optimiser.averaged():
        pass
    path = take(optimiser, params, 3)
    assert optimiser.n_averaged == 0
    optimiser.update()
    path += take(optimiser, params, 1, first=4)
    optimiser.update()
    version = params[0].version[0]
    optimiser.load_mean()
    np.testing.assert_allclose(params[0].data, (path[2][0] + path[3][0]) / 2, rtol=4 * EPS)
    assert params[0].version[0] > version


def test_a_resumed_run_is_the_same_to_the_bit():
    def made():
        params = starts(np.float32)
        optimiser = SWA(optim.AdamW(params, lr=0.05), start=3, every=2)
        return params, optimiser, schedule.Scheduler(optimiser, schedule.swa(3, 0.5, cycle=2))

    def run(params, optimiser, scheduler, steps, first):
        for t in range(first, first + steps):
            take(optimiser, params, 1, first=t)
            scheduler.step()

    for stop in (2, 6):  # before the first average, and after two
        whole, other = made(), made()
        run(*whole, 10, 1)
        run(*other, stop, 1)
        resumed = made()
        for p, q in zip(resumed[0], other[0], strict=True):
            p.data[...] = q.data
        resumed[1].load_state_dict(other[1].state_dict())
        resumed[2].load_state_dict(other[2].state_dict())
        run(*resumed, 10 - stop, stop + 1)
        assert resumed[1].state_dict().keys() == whole[1].state_dict().keys()
        for name, values in whole[1].state_dict().items():
            np.testing.assert_array_equal(resumed[1].state_dict()[name], values)


def test_a_foreign_state_is_refused_whole():
    params = starts()
    optimiser = SWA(optim.SGD(params, lr=0.1), start=1)
    take(optimiser, params, 2)
    good = optimiser.state_dict()
    for name in ("mean.1", "optimizer.groups.0.lr", "t"):
        with pytest.raises(mv.CheckpointError, match=name.removeprefix("optimizer.")):
            optimiser.load_state_dict({k: v for k, v in good.items() if k != name} | {"t" if name != "t" else "u": np.array(9)})
    assert optimiser.t == 2
    with pytest.raises(mv.CheckpointError, match=r"mean\.0\s+wrong shape"):
        optimiser.load_state_dict({**good, "mean.0": np.zeros(2)})


@pytest.mark.parametrize("arguments", [(-1, 1), (0, 0)])
def test_steps_are_counted_from_sensible_numbers(arguments):
    with pytest.raises(ValueError, match="SWA counts steps"):
        SWA(optim.SGD(starts(), lr=0.1), *arguments)


# ------------------------------------------------------------------------------------------------ batch normalisation


def network():
    mv.manual_seed(0)
    layers = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4), nn.BatchNorm1d(4)
    return nn.Sequential(*layers).double()


def pictures(*sizes):
    rng = np.random.default_rng(3)
    return [(rng.standard_normal((b, 2, 6, 6)) + i, np.zeros(b)) for i, b in enumerate(sizes)]


def test_statistics_are_the_mean_of_the_batches_own_weighted_by_their_sizes():
    model, batches = network(), pictures(7, 2, 5, 9)
    model.train()
    for x, _ in batches[:2]:
        model(mv.tensor(x))  # statistics from before
    model.eval()
    model[1].training = True
    seen = {1: [], 5: []}
    handles = [model[i].register_forward_pre_hook(lambda m, args, i=i: seen[i].append(np.asarray(args[0].data))) for i in seen]
    update_batch_norm(model, [(mv.tensor(x), y) for x, y in batches])
    for handle in handles:
        handle.remove()
    sizes = np.array([len(x) for x, _ in batches])
    for i, inputs in seen.items():
        rows = [np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]) for x in inputs]
        for came, each in [
            (model[i].running_mean, np.array([r.mean(axis=0) for r in rows])),
            (model[i].running_var, np.array([r.var(axis=0, ddof=1) for r in rows])),
        ]:
            want = sizes @ each / sizes.sum()
            # The same sums in another order: at most as many roundings as there are values, of the size of the largest.
            np.testing.assert_allclose(came.data, want, rtol=0, atol=rows[-1].shape[0] * EPS * np.abs(each).max())
        assert model[i].num_batches_tracked.item() == len(batches)
        assert model[i].momentum == 0.1
    assert [m.training for m in model] == [False, True, False, False, False, False]
    pixels = np.concatenate([np.moveaxis(x, 1, -1).reshape(-1, 3) for x in seen[1]])
    np.testing.assert_allclose(model[1].running_mean.data, pixels.mean(axis=0), rtol=len(pixels) * EPS)


def test_it_is_what_a_momentum_of_none_gives_for_batches_of_one_size():
    one, other = network(), network()
    batches = [x for x, _ in pictures(4, 4, 4)]
    update_batch_norm(one, batches)
    for m in other:
        if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d):
            m.momentum = None
    for x in batches:
        other(x)
    for name, values in one.state_dict().items():
        np.testing.assert_allclose(values, other.state_dict()[name], rtol=20 * EPS, err_msg=name)


def test_a_failed_pass_changes_nothing():
    model = network()
    model(pictures(4)[0][0])
    model[1].running_mean.data[0] = np.nan
    before = model.state_dict()
    with pytest.raises(ValueError, match="no batch came"):
        update_batch_norm(model, iter(()))
    with pytest.raises(mv.ShapeError):
        update_batch_norm(model, [pictures(4)[0][0], np.zeros((2, 3, 6, 6))])
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    assert model[1].momentum == 0.1
    assert model.training
    update_batch_norm(model, pictures(4))
    assert np.isfinite(model[1].running_mean.data).all()


def test_a_model_without_batch_normalisation_is_not_run():
    def batches():
        raise AssertionError("not to be asked")
        yield

    update_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), batches())


def test_averaged_weights_come_with_their_statistics_and_leave_the_models_own():
    model, batches = network(), pictures(5, 5)
    optimiser = SWA(optim.SGD(model.parameters(), lr=0.1), start=2)
    for x, _ in batches * 2:
        optimiser.zero_grad()
        (model(x) ** 3).sum().backward()
        optimiser.step()
    before = model.state_dict()
    with optimiser.averaged(model, batches):
        inside = model.state_dict()
    other = network()
    other.load_state_dict({**inside, "1.running_mean": before["1.running_mean"]})
    update_batch_norm(other, batches)
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
        np.testing.assert_array_equal(other.state_dict()[name], inside[name], err_msg=name)
    assert all(not np.array_equal(inside[n], before[n]) for n in ("0.weight", "1.running_mean", "5.running_var"))


# -------------------------------------------------------------------------------------------------- the law of one weight

CHAINS, RARE = 20_000, 1e-6  # independent weights; how often a right law would be refused


@pytest.mark.parametrize(("lr", "a", "s"), [(0.5, 1.0, 0.3), (0.1, 2.0, 1.0), (1.2, 1.0, 0.5)])
def test_one_noisy_weight_settles_at_the_variance_of_the_law_and_its_mean_forgets_the_rate(lr, a, s):
    """w <- w - lr (a w + s xi):  Var w = lr s^2 / (a (2 - lr a));  Var of T weights' mean -> s^2 / (a^2 T).

    With rho = 1 - lr a, weights k steps apart have the covariance rho^k Var w, whose sum over all pairs is exactly
    Var mean = Var w / T ((1 + rho) / (1 - rho) - 2 rho (1 - rho^T) / (T (1 - rho)^2)). Sums of squares of CHAINS normals are
    held to the quantiles of chi squared.
    """
    rho, settle, T = 1.0 - lr * a, 160, 200
    assert rho ** (2 * settle) < 1e-15
    w, rng = nn.Parameter(np.zeros(CHAINS)), np.random.default_rng(7)
    optimiser = SWA(optim.SGD([w], lr=lr), start=settle + 1)
    for t in range(1, settle + T + 1):
        w.grad = mv.Tensor(a * w.data + s * rng.standard_normal(CHAINS))
        optimiser.step()
        if t == settle:
            settled = w.data.copy()
    assert optimiser.n_averaged == T
    optimiser.load_mean()
    variance = lr * s**2 / (a * (2.0 - lr * a))
    of_mean = variance / T * ((1 + rho) / (1 - rho) - 2 * rho * (1 - rho**T) / (T * (1 - rho) ** 2))
    low, high = stats.chi2.ppf([RARE / 2, 1 - RARE / 2], CHAINS)
    assert low < np.sum(settled**2) / variance < high
    assert low < np.sum(w.data**2) / of_mean < high
    assert abs(of_mean / (s**2 / (a**2 * T)) - 1.0) <= 2.0 / (T * lr * a * (2.0 - lr * a))
    assert not low < np.sum(settled**2) / (lr * s**2 / (2.0 * a)) < high, "the test tells the law from its limit for small rates"


def test_a_checkpoint_holds_the_mean(tmp_path):
    model = network()
    optimiser = SWA(optim.SGD(model.parameters(), lr=0.1, momentum=0.9), start=1)
    for x, _ in pictures(5, 5):
        optimiser.zero_grad()
        (model(x) ** 3).sum().backward()
        optimiser.step()
    mv.save_checkpoint(tmp_path / "run.safetensors", optimiser.state_dict())
    other = SWA(optim.SGD(network().parameters(), lr=0.3, momentum=0.9), start=1)
    other.load_state_dict(mv.load_checkpoint(tmp_path / "run.safetensors"))
    for name, values in optimiser.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], values)
