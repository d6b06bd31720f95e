"""The tape: what is recorded, how the walk back goes, and what it refuses."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import minivision as mv
from minivision.tape import Tensor


def leaf(*values: float) -> Tensor:
    return mv.tensor(np.array(values), requires_grad=True)


def test_gradient_of_a_shared_value_adds_up():
    x = leaf(2.0, -3.0)
    y = x * x
    (y * y + y).sum().backward()  # x^4 + x^2
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.numpy() ** 3 + 2 * x.numpy(), rtol=1e-15)


def test_backward_adds_to_an_earlier_gradient():
    x = leaf(1.0, 2.0)
    (3.0 * x).sum().backward()
    (4.0 * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [7.0, 7.0])


def test_gradients_own_their_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = np.ones(2)
    (a + b).backward(seed)
    a.grad.mul_(0.0)
    np.testing.assert_array_equal(b.grad.numpy(), [1.0, 1.0])
    np.testing.assert_array_equal(seed, [1.0, 1.0])


def test_a_backward_with_a_gradient_weights_the_outputs():
    x = leaf(1.0, 2.0, 3.0)
    (x * x).backward(mv.tensor(np.array([1.0, 10.0, 100.0])))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 40.0, 600.0])


def test_grad_touches_no_leaf_and_knows_intermediate_values():
    x = leaf(1.0, 2.0)
    y = x * x
    z = (y * 3.0).sum()
    dy, dx = mv.grad(z, [y, x])
    np.testing.assert_array_equal(dy.numpy(), [3.0, 3.0])
    np.testing.assert_array_equal(dx.numpy(), [6.0, 12.0])
    assert x.grad is None


def test_grad_of_an_unused_input_is_none():
    x, unused = leaf(1.0), leaf(1.0)
    assert mv.grad((x * x).sum(), [x, unused], retain_graph=True)[1] is None


def test_gradients_of_gradients_to_the_fourth_order():
    x = leaf(0.7, -1.3)
    derivative = (x * x * x * x).sum()
    for factor, power in [(4, 3), (12, 2), (24, 1), (24, 0)]:
        derivative = mv.grad(derivative.sum(), x, create_graph=True)
        np.testing.assert_allclose(derivative.numpy(), factor * x.numpy() ** power, rtol=1e-14)


def test_backward_with_create_graph_gives_a_gradient_that_can_be_differentiated():
    x = leaf(0.5, 2.0)
    np.exp(x).sum().backward(create_graph=True)
    np.testing.assert_allclose(mv.grad(x.grad.sum(), x).numpy(), np.exp(x.numpy()), rtol=1e-15)


def test_nothing_is_recorded_under_no_grad():
    x = leaf(1.0)
    with mv.no_grad():
        y = x * 2.0
    assert not y.requires_grad
    assert (x * 2.0).requires_grad


def test_detach_shares_memory_and_leaves_the_tape():
    x = leaf(1.0, 2.0)
    d = (x * 2.0).detach()
    assert not d.requires_grad
    assert x.detach().data is x.data


def test_the_recording_switch_belongs_to_the_thread():
    import threading

    seen = []
    with mv.no_grad():
        worker = threading.Thread(target=lambda: seen.append((leaf(1.0) * 2.0).requires_grad))
        worker.start()
        worker.join()
    assert seen == [True]


# ------------------------------------------------------------------------------------------------------- refusals


def test_second_backward_on_a_freed_graph_is_refused():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(mv.GraphError, match=r"'sum' was freed by an earlier backward.*retain_graph=True"):
        y.backward()


def test_retained_graph_goes_backward_twice():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [12.0])


def test_backward_on_a_non_scalar_needs_a_gradient():
    with pytest.raises(mv.GraphError, match=r"needs a scalar, got shape \(2,\)"):
        (leaf(1.0, 2.0) * 2.0).backward()


def test_a_gradient_of_another_shape_is_refused():
    with pytest.raises(mv.GraphError, match=r"gradient is \(3,\) float64, but the tensor is \(2,\)"):
        (leaf(1.0, 2.0) * 2.0).backward(np.ones(3))


def test_backward_without_anything_that_requires_gradients_is_refused():
    with pytest.raises(mv.GraphError, match="requires gradients"):
        mv.tensor([1.0]).sum().backward()


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.uint8])
def test_integers_cannot_require_gradients(dtype):
    with pytest.raises(TypeError, match=f"only floating-point tensors can require gradients, got {np.dtype(dtype)}"):
        mv.tensor(np.ones(2, dtype), requires_grad=True)


def in_place_index(x):
    x[0] = 5.0


def in_place_add(x):
    x += 1.0


def in_place_copy(x):
    x.copy_(np.zeros(2))


@pytest.mark.parametrize("change", [in_place_index, in_place_add, in_place_copy])
def test_a_kept_array_that_changed_in_place_is_noticed(change):
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with mv.no_grad():
        change(x)
    with pytest.raises(mv.GraphError, match="multiply: its argument a was changed in place"):
        y.backward()


def test_a_kept_result_and_a_view_that_changed_are_noticed():
    x = leaf(1.0, 2.0)
    y = np.exp(x)
    with mv.no_grad():
        y.reshape(1, 2).detach()[0, 1] = 7.0  # another tensor, the same memory
    with pytest.raises(mv.GraphError, match="exp: its result was changed in place"):
        y.sum().backward()


def test_an_array_that_was_not_kept_may_change():
    x = leaf(1.0, 2.0)
    y = (x + 1.0).sum()
    with mv.no_grad():
        x[0] = 9.0
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_a_leaf_cannot_change_in_place_while_recording():
    x = leaf(1.0, 2.0)
    with pytest.raises(mv.GraphError, match="no_grad"):
        x += 1.0
    with pytest.raises(mv.GraphError, match="no_grad"):
        x[0] = 1.0


def test_in_place_addition_on_the_tape_keeps_the_gradient_right():
    x = leaf(1.0, 2.0)
    y = x * 2.0
    y += x
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 3.0])


def test_numpy_gives_a_read_only_view():
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 3.0
    assert np.shares_memory(x.numpy(), x.data)


def test_a_loop_over_a_tensor_gives_its_slices_on_the_tape():
    x = mv.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    first, *others = x
    assert [row.shape for row in (first, *others)] == [(2,)] * 3
    (others[1] * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[0, 0], [0, 0], [3, 3]])
    assert list(mv.tensor(np.zeros((0, 2)))) == []
    with pytest.raises(TypeError, match="0-d Tensor has no slices"):
        list(mv.tensor(1.0))


def test_tensor_copies_what_it_is_given():
    array = np.ones(3)
    x = mv.tensor(array)
    array[0] = 7.0
    assert x.numpy()[0] == 1.0


def test_python_numbers_become_float32_and_arrays_keep_their_type():
    assert mv.tensor([1.0, 2.0]).dtype == np.float32
    assert mv.tensor(np.ones(2)).dtype == np.float64
    assert mv.tensor([1, 2]).dtype == np.int64
    assert (mv.tensor([1.0]) * np.float64(2.0)).dtype == np.float32


def test_mixed_element_types_are_refused():
    with pytest.raises(mv.DtypeError, match=r"multiply: element types must agree.*float32.*float64"):
        mv.tensor([1.0]) * mv.tensor(np.ones(1))


# ------------------------------------------------------------------------------------------------ size and memory


def test_a_chain_of_a_million_nodes_goes_backward_and_is_released():
    x = leaf(1.0)
    y = x
    for _ in range(1_000_000):
        y = y + 1e-6
    last = weakref.ref(y)
    y.sum().backward()
    assert x.grad.item() == 1.0
    del y
    assert last() is None


def test_a_long_chain_that_never_goes_backward_is_released():
    y = leaf(1.0)
    for _ in range(300_000):
        y = y + 1.0
    last = weakref.ref(y)
    del y
    assert last() is None


def test_graphs_are_free_of_reference_cycles():
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = np.exp(x * 2.0)
        inner = weakref.ref(y)
        mv.grad((y * y).sum(), x, create_graph=True)
        del y
        assert inner() is None
    finally:
        gc.enable()


def test_kept_values_are_freed_as_backward_goes():
    x = mv.tensor(np.ones(4), requires_grad=True)
    y = np.exp(x)
    kept = weakref.ref(y.data)
    z = (y * 2.0).sum()
    del y
    assert kept() is not None
    z.backward()
    assert kept() is None, "z is still alive, but what its graph kept should be gone"


MEMORY = """
import resource, numpy as np, minivision as mv
w = mv.tensor(np.ones((8, 8), np.float32), requires_grad=True)
x = mv.tensor(np.ones((4, 8), np.float32))
def step():
    w.grad = None
    mv.functional.gelu(mv.functional.linear(x, w)).sum().backward()
    with mv.no_grad():
        w.sub_(w.grad * 1e-3)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
import gc; gc.disable()
for _ in range(500): step()
before = resident()
for _ in range(10_000): step()
print(resident() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="resident memory is read from Linux's /proc")
def test_ten_thousand_steps_grow_memory_by_less_than_a_megabyte_without_the_garbage_collector():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000_000


def test_a_grad_owns_its_memory_also_where_the_cotangent_was_a_view():
    x = mv.Tensor(np.ones((2, 3)), requires_grad=True)
    dy = np.ones((3, 2))
    (x.T * 1.0).backward(dy.T.copy().T)
    x.grad[...] = 5.0
    a, b = (mv.Tensor(np.ones((2, 3)), requires_grad=True) for _ in range(2))
    (a + b).reshape(6).backward(np.ones(6))  # the same cotangent, a view, arrives at both
    a.grad[...] = 7.0
    assert np.all(b.grad.numpy() == 1.0)
    assert np.all(dy == 1.0)
