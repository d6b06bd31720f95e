"""Making tensors: values, element types, shared memory; random numbers from one generator and of the right distribution."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv


def test_constants_have_torchs_element_types():
    made = {
        mv.zeros(2, 3): (0, np.float32, (2, 3)), mv.ones((2,)): (1, np.float32, (2,)), mv.zeros(()): (0, np.float32, ()),
        mv.full((2, 2), 7): (7, np.int64, (2, 2)), mv.full((1,), 0.5): (0.5, np.float32, (1,)), mv.full(3, True): (1, bool, (3,)),
        mv.zeros(2, dtype=np.int64): (0, np.int64, (2,)), mv.ones_like(np.zeros((2, 1), np.int32)): (1, np.int32, (2, 1)),
        mv.zeros_like(mv.ones(3, dtype=np.float64)): (0, np.float64, (3,)), mv.full_like(mv.zeros(2), 4): (4, np.float32, (2,)),
        mv.ones(2).new_zeros(3, 1): (0, np.float32, (3, 1)), mv.tensor([1]).new_full((2,), 5): (5, np.int64, (2,)),
    }  # fmt: skip
    for tensor, (value, dtype, shape) in made.items():
        assert (tensor.dtype, tensor.shape) == (dtype, shape)
        assert (tensor.data == value).all()
    assert mv.ones(2, requires_grad=True).requires_grad
    with pytest.raises(TypeError, match="only floating-point tensors"):
        mv.ones(2, dtype=np.int64, requires_grad=True)


def test_rows_of_numbers():
    assert mv.arange(3).tolist() == [0, 1, 2]
    assert mv.arange(3).dtype == np.int64
    assert mv.arange(1.0, 2.5, 0.5).tolist() == [1.0, 1.5, 2.0]
    assert mv.arange(1.0, 2.5, 0.5).dtype == np.float32
    assert mv.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert mv.arange(0).shape == (0,)
    assert mv.linspace(0.0, 1.0, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert mv.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    for wrong in [(0, 5, -1), (5, 0), (0, 1, 0)]:
        with pytest.raises(ValueError, match=r"arange: steps of .* do not lead from"):
            mv.arange(*wrong)


def test_what_shares_memory_and_what_does_not():
    a = np.arange(3.0)
    shared, same, copy = mv.from_numpy(a), mv.as_tensor(a), mv.tensor(a)
    a[0] = 9.0
    assert (shared[0].item(), same[0].item(), copy[0].item()) == (9.0, 9.0, 0.0)
    shared.mul_(2.0)
    assert a[0] == 18.0
    assert mv.as_tensor(shared) is shared
    assert not np.shares_memory(mv.as_tensor(a, dtype=np.float32).data, a)
    assert mv.as_tensor([1.0, 2.0]).dtype == np.float32
    assert mv.as_tensor(a.astype(a.dtype.newbyteorder())).tolist() == a.tolist()
    for wrong in ([1.0], np.array(["a"]), a.astype(a.dtype.newbyteorder())):
        with pytest.raises(TypeError, match="from_numpy: a NumPy array of numbers in this machine's byte order"):
            mv.from_numpy(wrong)


@pytest.mark.parametrize("size", [2**50, 2**62, 2**63 - 1])
def test_sizes_beyond_memory_are_refused(size):
    for make in (mv.ones, mv.zeros, mv.randn, mv.rand, mv.eye, mv.randperm, mv.arange, lambda n: mv.linspace(0.0, 1.0, n)):
        with pytest.raises((ValueError, MemoryError)):
            make(size)
    for make in (mv.arange, mv.randperm):
        with pytest.raises(MemoryError, match=f"{2**62} numbers take {2**65} bytes"):
            make(2**62)


def test_one_seed_gives_the_same_numbers_and_a_generator_of_ones_own_too():
    makers = [
        lambda g: mv.rand(3, generator=g), lambda g: mv.randn(3, generator=g), lambda g: mv.randint(9, (3,), generator=g),
        lambda g: mv.randperm(9, generator=g), lambda g: mv.bernoulli(mv.full((9,), 0.5), generator=g),
        lambda g: mv.multinomial(mv.ones(9), 3, generator=g), lambda g: mv.normal(0.0, 1.0, (3,), generator=g),
    ]  # fmt: skip
    for make in makers:
        found = []
        for _ in range(2):
            mv.manual_seed(7)
            found.append(make(None).tolist())
        own = make(np.random.Generator(np.random.PCG64(7))).tolist()
        assert found[0] == found[1] == own


def test_random_numbers_lie_where_they_should():
    """Means of 20,000 draws are within 5 standard errors."""
    mv.manual_seed(1)
    n = 20_000
    uniform, normal, whole, coin = mv.rand(n), mv.randn(n), mv.randint(-2, 4, (n,)), mv.bernoulli(mv.full((n,), 0.3))
    assert 0.0 <= uniform.data.min() <= uniform.data.max() < 1.0
    assert set(whole.tolist()) == {-2, -1, 0, 1, 2, 3}
    assert set(coin.tolist()) == {0.0, 1.0}
    for draws, mean, deviation in [
        (uniform, 0.5, 12**-0.5),
        (normal, 0.0, 1.0),
        (whole, 0.5, (35 / 12) ** 0.5),
        (coin, 0.3, 0.21**0.5),
    ]:
        assert abs(draws.data.mean() - mean) < 5 * deviation / n**0.5
        assert abs(draws.data.std() / deviation - 1.0) < 0.05
    assert sorted(mv.randperm(50).tolist()) == list(range(50))
    assert (mv.rand(2, dtype=np.float64).dtype, mv.randn_like(mv.ones(2)).dtype, mv.rand_like(np.ones((2, 3))).shape) == (
        np.float64, np.float32, (2, 3),
    )  # fmt: skip
    centred = mv.normal(mv.full((n,), 3.0), 0.1)
    assert abs(centred.data.mean() - 3.0) < 5 * 0.1 / n**0.5


def test_classes_are_drawn_by_weight():
    mv.manual_seed(2)
    weights, n = mv.tensor([0.0, 1.0, 3.0, 0.0, 4.0]), 20_000
    with_replacement = np.bincount(mv.multinomial(weights, n, replacement=True).data, minlength=5) / n
    first = np.bincount([mv.multinomial(weights, 3).data[0] for _ in range(n // 4)], minlength=5) / (n // 4)
    for shares, draws in ((with_replacement, n), (first, n // 4)):
        expected = weights.data / 8.0
        assert (np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / draws)).all()
    rows = mv.multinomial(mv.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 1.0]]), 2).data
    assert [sorted(row) for row in rows.tolist()] == [[0, 2], [1, 2]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mv.multinomial(mv.tensor([0.0, 1.0]), 2), "2 different classes cannot be drawn where 1 have a weight above 0"),
        (lambda: mv.multinomial(mv.tensor([-1.0, 2.0]), 1), "none negative and not all 0"),
        (lambda: mv.multinomial(mv.tensor([0.0, 0.0]), 1, True), "none negative and not all 0"),
        (lambda: mv.multinomial(mv.tensor([1.0]), 0), "samples from 1"),
        (lambda: mv.bernoulli(mv.tensor([0.5, 1.5])), "probabilities from 0 to 1 are needed, got float32 from 0.5 to 1.5"),
        (lambda: mv.randint(3, 3, (2,)), "high should be greater than low, got 3 and 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_minivision_has_exactly_the_names_of_its_files():
    """A helper or a module of NumPy's must not become mv.something by way of a star."""
    names = mv.tensors.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(mv, name) for name in names)
    assert not {"np", "Any", "unpack", "raw", "dimension", "check_memory"} & set(vars(mv))
