"""ResNeXt's exact properties; its numbers are in test_models.py, its sizes in test_registry.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision.models.resnet import Bottleneck
from minivision.models.resnext import (
    ConcatenatedPaths,
    ResNeXtConfig,
    SumOfPaths,
    block_weights,
    equal_width,
    split_groups,
    split_sum,
)

INPUTS, WIDTH, GROUPS, PATH = 12, 8, 4, 3


def three_forms(stride):
    """A Bottleneck, and the two forms in paths with its weights, in float64."""
    config = ResNeXtConfig(depths=(1,), widths=(WIDTH,), groups=GROUPS, base_width=PATH * 64 // WIDTH)
    block = fill(Bottleneck(INPUTS, WIDTH, stride, config).to(np.float64))
    sizes = INPUTS, 4 * WIDTH, GROUPS, PATH, stride
    forms = [block, ConcatenatedPaths(*sizes).to(np.float64), SumOfPaths(*sizes).to(np.float64)]
    states = [split_groups({key: np.asarray(value) for key, value in block.state_dict().items()}, GROUPS)]
    states.append(split_sum(states[0], GROUPS))
    for form, state in zip(forms[1:], states, strict=True):
        form.load_state_dict(state)
    return forms, states


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_three_forms_are_one_function(stride, train):
    """Figure 3, with the norms, in both modes: the same output, input gradient, and running statistics, in float64."""
    forms, states = three_forms(stride)
    x, c = noise("x", (3, INPUTS, 7, 7)).astype(np.float64), None
    found = []
    for form in forms:
        form.train(train)
        xt = mv.tensor(x, requires_grad=True)
        y = form.branch(xt) if isinstance(form, Bottleneck) else form(xt)
        c = noise("c", y.shape).astype(np.float64)
        (dx,) = mv.grad(y, [xt], mv.tensor(c))
        found.append((y.numpy(), dx.numpy()))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_allclose(two, one, atol=1e-12 * np.abs(one).max())
    seen = split_groups({key: np.asarray(value) for key, value in forms[0].state_dict().items()}, GROUPS)
    for key, value in forms[1].state_dict().items():
        np.testing.assert_allclose(value, seen[key], atol=1e-12, err_msg=key)
    assert train == any(not np.array_equal(seen[key], states[0][key]) for key in seen if "running" in key)


def test_the_forms_have_the_same_parameters_and_paths_their_own():
    """Nothing is lost or shared on the way: the three forms have as many weights, and every path others."""
    forms, states = three_forms(1)
    counts = [sum(math.prod(p.shape) for name, p in form.named_parameters() if "downsample" not in name) for form in forms]
    assert len(set(counts)) == 1
    firsts = [states[0][f"paths.{i}.conv2.weight"] for i in range(GROUPS)]
    assert not any(np.array_equal(firsts[i], firsts[j]) for i in range(GROUPS) for j in range(i))


def test_a_path_sees_no_other_s_channels():
    """The grouped convolution's weight is a dense one's with zeros off the diagonal blocks."""
    forms, _ = three_forms(1)
    grouped = forms[0].conv2
    dense = np.zeros((GROUPS * PATH, GROUPS * PATH, 3, 3))
    for i in range(GROUPS):
        own = slice(PATH * i, PATH * (i + 1))
        dense[own, own] = grouped.weight.numpy()[own]
    x = mv.tensor(noise("x", (2, GROUPS * PATH, 5, 5)).astype(np.float64))
    wanted = mv.functional.conv2d(x, mv.tensor(dense), padding=1).numpy()
    np.testing.assert_allclose(grouped(x).numpy(), wanted, atol=1e-12 * np.abs(wanted).max())


def test_equation_4_counts_what_the_first_block_has():
    """Of the second block of the first stage: 256 channels in and out; ResNet-50's is one path of 64."""
    for name, cardinality, width in [("resnet50", 1, 64), ("resnext50_32x4d", 32, 4)]:
        block = mv.create_model(name).layer1[1]
        counted = sum(math.prod(conv.weight.shape) for conv in (block.conv1, block.conv2, block.conv3))
        assert counted == block_weights(256, cardinality, width)
    assert block_weights(256, 32, 4) == 70_144
    assert block_weights(256, 1, 64) == 69_632


@pytest.mark.parametrize(("cardinality", "paper"), [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)])
def test_widths_of_equal_cost_are_those_of_table_2(cardinality, paper):
    """Eq. 4 solved for the width gives table 2's to its rounding, and gives the weights back exactly."""
    weights = block_weights(256, 1, 64)
    width = equal_width(256, cardinality, weights)
    assert abs(width - paper) < 1.0
    assert block_weights(256, cardinality, width) == pytest.approx(weights, rel=1e-12)


def test_widths_of_all_stages_are_the_published_ones():
    """128, 256, 512, 1024 channels in the 3x3 convolutions of 32x4d, twice that of 32x8d; the stride is theirs."""
    for name, first in [("resnext50_32x4d", 128), ("resnext101_32x8d", 256)]:
        model = mv.create_model(name)
        blocks = [getattr(model, f"layer{i}")[0] for i in range(1, 5)]
        assert [b.conv2.weight.shape for b in blocks] == [(first << i, first // 32 << i, 3, 3) for i in range(4)]
        assert [b.conv2.stride for b in blocks] == [(1, 1), (2, 2), (2, 2), (2, 2)]
