"""Module: what it registers, runs, loads and says."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minivision as mv
from minivision import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(np.ones(width, np.float32))
        self.fc = nn.Linear(width, width)
        self.register_buffer("seen", np.zeros(width, np.float32))
        self.register_buffer("table", np.arange(3), persistent=False)

    def forward(self, x):
        return self.fc(x) * self.scale


class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, 2, bias=False)
        self.token = nn.Parameter((1, width), nn.init.normal())

    def forward(self, x):
        return self.head(self.blocks(x + self.token))


OWN = ["token"] + [f"blocks.{i}.{name}" for i in range(2) for name in ("scale", "fc.weight", "fc.bias")] + ["head.weight"]
SEEN = [f"blocks.{i}.seen" for i in range(2)]


def image(rows=4, width=3):
    return mv.tensor(np.random.default_rng(1).standard_normal((rows, width)).astype(np.float32))


def bits(module):
    return {name: tensor.data.tobytes() for name, tensor in [*module.named_parameters(), *module.named_buffers()]}


def test_names_of_what_is_inside():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == OWN
    assert [name for name, _ in net.named_buffers()] == ["blocks.0.seen", "blocks.0.table", "blocks.1.seen", "blocks.1.table"]
    assert [name for name, _ in net.named_modules()] == [
        "",
        "blocks",
        "blocks.0",
        "blocks.0.fc",
        "blocks.1",
        "blocks.1.fc",
        "head",
    ]
    assert [name for name, _ in net.named_children()] == ["blocks", "head"]
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == ["net.token"]
    assert list(net.children()) == [net.blocks, net.head]
    assert next(iter(net.buffers())) is net.blocks[0].seen


def test_a_parameter_set_to_none_or_replaced_is_forgotten():
    net = Net()
    net.token = None
    net.head.weight = replaced = nn.Parameter(np.zeros((2, 3), np.float32))
    assert "token" not in dict(net.named_parameters())
    assert dict(net.named_parameters())["head.weight"] is replaced


def test_what_is_shared_is_listed_once_but_saved_under_both_names():
    net = Net()
    net.blocks[1].fc = net.blocks[0].fc
    assert [name for name, _ in net.named_parameters()] == [n for n in OWN if not n.startswith("blocks.1.fc")]
    assert [name for name, _ in net.named_modules()] == ["", "blocks", "blocks.0", "blocks.0.fc", "blocks.1", "head"]
    assert {"blocks.0.fc.weight", "blocks.1.fc.weight"} <= net.state_dict().keys()


def test_of_two_names_of_one_parameter_the_later_counts():
    net = nn.ModuleList([nn.Linear(1, 1) for _ in range(20)])
    for layer in net:
        layer.weight = net[0].weight
    net.load_state_dict({name: np.full(value.shape, i) for i, (name, value) in enumerate(net.state_dict().items())})
    assert net[0].weight.item() == 38.0


def test_plain_tensors_and_attributes_are_not_parameters():
    net = nn.Module()
    net.mean, net.size = mv.tensor([1.0]), 3
    assert not list(net.named_parameters()) + list(net.named_buffers())


@pytest.mark.parametrize("name", ["", "a.b", "forward"])
def test_names_that_would_break_paths_are_refused(name):
    with pytest.raises(KeyError, match="cannot name a part"):
        nn.Module().add_module(name, nn.Identity())
    with pytest.raises(KeyError, match="cannot name a part"):
        nn.Module().register_buffer(name, np.zeros(1))


def test_hooks_run_in_order_change_what_passes_and_go_away():
    double, calls = nn.Identity(), []
    first = double.register_forward_pre_hook(lambda module, args: calls.append(("pre", module, args)))
    second = double.register_forward_pre_hook(lambda module, args: args[0] + 1)
    third = double.register_forward_hook(lambda module, args, y: calls.append(("post", args, y)))
    fourth = double.register_forward_hook(lambda module, args, y: y * 10)
    assert double(2) == 30
    assert calls == [("pre", double, (2,)), ("post", (3,), 3)]
    second.remove()
    second.remove()
    assert double(2) == 20
    for handle in (first, third, fourth):
        handle.remove()
    assert double(2) == 2
    assert len(calls) == 4


def test_a_hook_of_a_with_block_ends_with_it_and_stays_with_its_module():
    one, other, calls = nn.Identity(), nn.Identity(), []
    with one.register_forward_hook(lambda module, args, y: calls.append(y)):
        one(1), other(2)
    one(3)
    assert calls == [1]


def test_a_hook_may_remove_itself():
    module, calls = nn.Identity(), []

    def once(module, args, y):
        calls.append(y)
        handle.remove()

    handle = module.register_forward_hook(once)
    module(1), module(2)
    assert calls == [1]


def test_a_shape_error_names_the_innermost_module():
    net = Net()
    net.blocks[1].fc = nn.Linear(5, 3)
    for _ in range(2):  # a second time: the path is the error's, not the module's
        with pytest.raises(mv.ShapeError) as caught:
            net(image())
        assert "in module: Net.blocks.1.fc\n" in str(caught.value)
    with net.register_forward_hook(lambda *_: None), pytest.raises(mv.ShapeError) as caught:
        net(image())
    assert "in module: Net.blocks.1.fc\n" in str(caught.value)


def test_train_eval_apply_and_flags_reach_every_module():
    net, seen = Net(), []
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())
    net.apply(seen.append)
    assert seen == [net.blocks[0].fc, net.blocks[0], net.blocks[1].fc, net.blocks[1], net.blocks, net.head, net]
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert net(image()).node is None


def test_zero_grad_forgets_gradients():
    net = Net()
    net(image()).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_to_changes_values_buffers_and_gradients_but_not_whole_numbers():
    net = Net()
    net(image()).sum().backward()
    before = net.state_dict()
    assert net.double() is net
    assert {t.dtype for t in net.parameters()} == {p.grad.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    assert net.blocks[0].seen.dtype == np.float64
    assert net.blocks[0].table.dtype == np.int64
    assert net(mv.tensor(np.ones((1, 3)))).dtype == np.float64
    assert all((value == before[name]).all() for name, value in net.state_dict().items())
    assert {p.dtype for p in net.float().parameters()} == {np.dtype(np.float32)}
    with pytest.raises(TypeError, match="float32 or float64, got int32"):
        net.to(np.int32)


def test_a_module_copies_deeply():
    net = Net()
    twin = copy.deepcopy(net)
    assert bits(twin) == bits(net)
    twin.head.weight.data[...] = 0.0
    assert net.head.weight.data.any()


def test_repr_shows_the_tree_and_folds_repeats():
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.ReLU(), nn.ModuleList([nn.Dropout(0.1)]))) == "\n".join(
        [
            "Sequential(",
            "  (0): Linear(in_features=2, out_features=3, bias=True)",
            "  (1-2): 2 x ReLU()",
            "  (3): ModuleList(",
            "    (0): Dropout(p=0.1, inplace=False)",
            "  )",
            ")",
        ]
    )


def test_containers_index_slice_and_grow():
    a, b, c = nn.Identity(), nn.ReLU(), nn.Tanh()
    row = nn.Sequential(a, b).append(c)
    assert (row[0], row[-1], len(row), list(row[1:])) == (a, c, 3, [b, c])
    assert isinstance(row[:2], nn.Sequential)
    assert [name for name, _ in nn.ModuleList([a]).extend([b, c]).named_children()] == ["0", "1", "2"]
    other = nn.ModuleList([a, b, c])
    other[1], other[-1] = c, b
    assert list(other) == [a, c, b]
    named = nn.ModuleDict({"left": a})
    named["right"] = b
    assert (list(named), named["right"], "left" in named, len(named), named.values()) == (["left", "right"], b, True, 2, [a, b])
    assert [name for name, _ in nn.Sequential({"first": a, "second": b}).named_children()] == ["first", "second"]
    with pytest.raises(IndexError):
        row[3]
    with pytest.raises(IndexError):
        row[3] = a
    with pytest.raises(TypeError, match="Modules, got int"):
        row[0] = 1
    with pytest.raises(TypeError, match="holds Modules, got int"):
        nn.ModuleList([1])
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        nn.ModuleList([a])(1)


def test_sequential_is_composition():
    np.testing.assert_array_equal(nn.Sequential(nn.ReLU(), nn.Tanh())(image()).data, np.tanh(np.maximum(image().data, 0)))


def test_state_dict_holds_copies_of_parameters_and_persistent_buffers():
    net = Net()
    state = net.state_dict()
    assert list(state) == [*OWN[:2], SEEN[0], *OWN[2:5], SEEN[1], *OWN[5:]]  # own parameters, own buffers, then children
    state["token"][...] = 7.0
    assert not (net.token.data == 7.0).any()


def test_a_state_goes_into_another_module_bit_for_bit():
    one, other = Net(), Net()
    one.blocks[0].seen.data[...] = 5.0
    one.blocks[1].fc.weight.version[0] = version = 3
    _ = other.token.data  # one value drawn, the others not
    assert other.load_state_dict(one.state_dict()) == ([], [])
    assert bits(other) == bits(one)
    one.load_state_dict(other.state_dict())
    assert one.blocks[1].fc.weight.version[0] > version


def test_loading_draws_no_values_and_keeps_a_copy():
    def forbidden(rng, shape):
        raise AssertionError("drawn")

    layer = nn.Linear(2, 3)
    layer.weight.initialise(forbidden)
    values = np.ones((3, 2))
    layer.load_state_dict({"weight": values, "bias": mv.tensor(np.zeros(3))})
    values[...] = 9.0
    np.testing.assert_array_equal(layer.weight.data, np.ones((3, 2), np.float32))
    assert layer.weight.dtype == np.float32


def test_all_that_does_not_fit_is_in_one_table_and_nothing_is_loaded():
    net = Net()
    before, state = bits(net), {name: value + 1.0 for name, value in net.state_dict().items()}
    del state["token"]
    state |= {"head.weight": np.zeros((1000, 3)), "extra": np.zeros(4), "blocks.0.scale": np.array(["a", "b", "c"])}
    with pytest.raises(mv.CheckpointError) as caught:
        net.load_state_dict(state)
    head, names, *rows, hint = str(caught.value).splitlines()
    assert "4 entries do not fit Net (10 entries); nothing was loaded" in head
    assert names.split() == ["entry", "problem", "expected", "came"]
    assert [row.split(maxsplit=1)[0] for row in rows] == ["token", "extra", "head.weight", "blocks.0.scale"]
    columns = [names.index("problem"), names.index("expected"), names.index("came")]
    assert [[row[i:].split("  ")[0] for i in columns] for row in rows] == [
        ["missing", "(1, 3)", "-"],
        ["unexpected", "-", "(4,)"],
        ["wrong shape", "(2, 3)", "(1000, 3)"],
        ["wrong type", "float32", "<U1"],
    ]
    assert "strict=False" in hint
    assert bits(net) == before


def test_not_strict_loads_what_fits_and_says_what_did_not():
    net, state = Net(), Net().state_dict()
    del state["token"]
    state |= {"head.weight": np.zeros((9, 3)), "extra": np.zeros(4)}
    before = net.state_dict()
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["token", "head.weight"], ["head.weight", "extra"])
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name] if name in missing else state[name])


def test_whole_numbers_do_not_take_fractions():
    net = nn.Module()
    net.register_buffer("count", np.zeros((), np.int64))
    with pytest.raises(mv.CheckpointError, match=r"wrong type\s+int64\s+float64"):
        net.load_state_dict({"count": np.array(0.5)})
    net.load_state_dict({"count": np.array(3, np.int32)})
    assert (net.count.item(), net.count.dtype) == (3, np.int64)
