"""Counts against closed forms, and the model left as it was."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import minivision as mv
from minivision import functional as F
from minivision import nn, op
from minivision.profile import MACS


class Attend(nn.Module):
    """Queries (3, M, D), keys (3, N, D), values (3, N, E), then a product with a matrix (E, 7)."""

    def __init__(self, m, n, d, e):
        super().__init__()
        self.q, self.k, self.v = (nn.Parameter(shape) for shape in ((3, m, d), (3, n, d), (3, n, e)))
        self.mix = nn.Parameter((e, 7))
        self.drop = nn.Dropout(0.5).eval()

    def forward(self, x):
        y = F.scaled_dot_product_attention(self.q * x, self.k, self.v)
        return {"y": self.drop(y), "mixed": (y @ self.mix, y)}


def vit_numbers(depth, width, patch=16, image=224, classes=1000):
    """The fact sheet's closed forms of a ViT's parameters and MACs."""
    n = (image // patch) ** 2
    t, d = n + 1, width
    parameters = depth * (12 * d**2 + 13 * d) + (3 * patch**2 + 1) * d + d + t * d + 2 * d + classes * (d + 1)
    return parameters, depth * (12 * t * d**2 + 2 * t**2 * d) + 3 * n * patch**2 * d + classes * d


def test_convolutions_and_linear_layers():
    model = nn.Sequential(
        nn.Conv2d(4, 8, (3, 2), stride=2, padding=1, groups=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8 * 2 * 3, 5),
    )  # fmt: skip
    found = mv.profile(model, (4, 8, 10))
    conv = 8 * 4 * 6  # 8 channels of (8 + 2 - 3) // 2 + 1 by (10 + 2 - 2) // 2 + 1
    assert [row.output for row in found.rows[1:]] == [(1, 8, 4, 6), (1, 8, 4, 6), (1, 8, 4, 6), (1, 8, 2, 3), (1, 48), (1, 5)]
    assert [row.macs for row in found.rows] == [conv * 2 * 6 + 48 * 5, conv * 2 * 6, 0, 0, 0, 0, 48 * 5]
    assert [row.activations for row in found.rows] == [conv + 5, conv, 0, 0, 0, 0, 5]
    assert [row.parameters for row in found.rows] == [96 + 8 + 16 + 245, 96 + 8, 16, 0, 0, 0, 245]
    assert (found.parameters, found.macs, found.activations) == (365, conv * 12 + 240, conv + 5)
    assert type(found.macs) is int


@pytest.mark.parametrize("backend", ["c", "numpy"])
def test_attention_and_products_are_counted_once(backend):
    """The definition of attention calls the matrix product, which is counted where it stands alone."""
    if backend == "c" and not mv.kernels.AVAILABLE:
        pytest.skip("the C kernels are not built here")
    m, n, d, e = 5, 4, 6, 2
    with mv.backend(backend):
        found = mv.profile(Attend(m, n, d, e), (1,))
    assert found.macs == 3 * m * n * (d + e) + 3 * m * e * 7
    assert found.activations == 3 * m * e + 3 * m * 7
    assert found.rows[0].output == {"y": (3, m, e), "mixed": [(3, m, 7), (3, m, e)]}


@pytest.mark.parametrize(("name", "depth", "width"), [("tiny", 12, 192), ("large", 24, 1024)])
def test_vision_transformers_have_the_published_counts(name, depth, width):
    model = mv.create_model(f"vit_{name}_patch16_224")
    found = mv.profile(model, (3, 224, 224))
    assert (found.parameters, found.macs) == vit_numbers(depth, width)
    assert sum(row.macs for row in found.rows if row.path.count(".") == 1 and row.path.startswith("blocks.")) == next(
        row.macs for row in found.rows if row.path == "blocks"
    )


def test_no_product_is_computed(monkeypatch):
    """Counts do not depend on values, and the largest models would take a minute."""

    def never(*arrays, **attrs):
        raise AssertionError("a product was computed")

    for name in MACS.keys() - {"conv2d"}:
        monkeypatch.setattr(op.OPS[name], "definition", never)
        monkeypatch.setattr(op.OPS[name], "kernel", None)
    assert mv.profile(nn.Sequential(Attend(5, 4, 6, 2)), (1,)).macs == 3 * 5 * 4 * (6 + 2) + 3 * 5 * 2 * 7
    assert mv.profile(nn.Linear(3, 4), (2, 3)).rows[0].output == (1, 2, 4)


@pytest.mark.parametrize("shapes", [((2, 3), (4, 5)), ((2, 3, 4), (3, 4, 5)), ((3,), (4, 5))])
def test_operands_that_do_not_fit_are_reported_as_ever(shapes):
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.Parameter(shape) for shape in shapes)

        def forward(self, x):
            return self.a @ self.b

    with pytest.raises(mv.ShapeError, match="matmul"):
        mv.profile(Product(), (1,))
    with pytest.raises(mv.ShapeError, match="linear"):
        mv.profile(nn.Linear(3, 4), (2, 5))


def test_a_batch_of_one_is_the_same_as_a_sample():
    layer = nn.Conv2d(3, 2, 3)
    assert mv.profile(layer, (1, 3, 5, 5)) == mv.profile(layer, (3, 5, 5))


def test_a_module_used_twice_counts_twice_and_its_parameters_once():
    shared = nn.Linear(4, 4, bias=False)
    found = mv.profile(nn.Sequential(shared, nn.Sequential(shared), nn.Linear(4, 1)), (4,))
    assert {row.path: (row.macs, row.parameters) for row in found.rows} == {
        "": (16 + 16 + 4, 16 + 5), "0": (32, 16), "1": (16, 16), "2": (4, 5),
    }  # fmt: skip


def test_what_is_not_called_has_no_output():
    model = nn.Identity()
    model.spare = nn.Linear(2, 3)
    assert [(row.path, row.output, row.parameters) for row in mv.profile(model, (2,)).rows] == [
        ("", (1, 2), 9),
        ("spare", None, 9),
    ]


def state_of(model):
    hooks = [(dict(m._hooks), dict(m._pre_hooks), m.training) for m in model.modules()]
    return hooks, [p.is_filled() for p in model.parameters()], [vars(op.OPS[name]).get("forward") for name in MACS]


@pytest.mark.parametrize("width", [4, 5])  # with 5 the second layer fails
def test_the_model_is_left_as_it_was(width):
    model = nn.Sequential(nn.Linear(width, 4), nn.Dropout(0.5), nn.BatchNorm2d(4), nn.Linear(4, 2))
    model[1].eval()
    _ = model[3].bias.data
    model[0].register_forward_hook(lambda *_: None)
    before, values = state_of(model), model[3].bias.data.copy()
    if width == 5:
        with pytest.raises(mv.ShapeError, match=r"Sequential\.0"):
            mv.profile(model, (3, 3, 4))
    else:
        mv.profile(model, (4, 3, 4))
    assert state_of(model) == before
    assert model[2].num_batches_tracked.item() == 0
    np.testing.assert_array_equal(model[3].bias.data, values)
    assert mv.recording.is_recording()


def test_values_are_neither_drawn_nor_stored():
    model = nn.Sequential(nn.Linear(1, 10**6), nn.Linear(10**6, 100))
    tracemalloc.start()
    assert mv.count_parameters(model) == 2 * 10**6 + 10**8 + 100
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e5
    assert not any(p.is_filled() for p in model.parameters())


def test_the_table_is_aligned_and_ends_with_the_totals():
    found = mv.profile(nn.Sequential(nn.Linear(1000, 2000), nn.ReLU()), (1000,))
    lines = str(found).splitlines()
    assert [line.split() for line in lines] == [
        ["module", "type", "output", "parameters", "MACs", "activations"],
        ["0", "Linear", "(1,", "2000)", "2,002,000", "2,000,000", "2,000"],
        ["1", "ReLU", "(1,", "2000)", "0", "0", "0"],
        ["total", "Sequential", "(1,", "2000)", "2,002,000", "2,000,000", "2,000"],
    ]
    assert len({len(line) for line in lines}) == 1
    assert len({line.index("(1,") for line in lines[1:]}) == 1


def test_every_counted_operation_exists():
    assert op.OPS.keys() >= MACS.keys()


def test_integers_may_go_in():
    assert mv.profile(nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3)), (6,), dtype=np.int64).macs == 6 * 4 * 3


def test_a_model_of_another_element_type_is_counted_alike():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    single = mv.profile(model, (3,))
    assert mv.profile(model.double(), (3,)) == single
    assert model[0].weight.dtype == np.float64


def test_a_product_with_its_activation_is_not_computed():
    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x):
            return self.fc(x, activation="relu")

    model = Fused()
    nn.init.ones_(model.fc.bias)
    seen = []
    handle = model.fc.register_forward_hook(lambda module, inputs, output: seen.append(output.numpy().copy()))
    assert mv.profile(model, (3,)).macs == 12
    handle.remove()
    np.testing.assert_array_equal(seen[0], np.zeros((1, 4)))
