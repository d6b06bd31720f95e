"""Every model against its reference (golden/make_PAPER.py): outputs, gradients and buffers, in evaluation and training mode."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from golden.compare import BOUNDS, differences
from golden.weights import noise
from miniatures import fill

import minivision as mv
from minivision import kernels
from minivision.models._backbone import Backbone

GOLDEN = Path(__file__).parent / "golden"
NOTES = {file.stem: json.loads(file.read_text()) for file in sorted(GOLDEN.glob("*.json")) if file.stem != "vit"}  # test_vit.py
CASES = {f"{paper}: {label}": (paper, label, case) for paper, notes in NOTES.items() for label, case in notes["cases"].items()}
ARRAYS = {paper: dict(np.load(GOLDEN / f"{paper}.npz", allow_pickle=False)) for paper in NOTES}

with_kernels = pytest.mark.skipif(
    not kernels.AVAILABLE,
    reason="whole networks take up to three times as long without kernels, which give the same (test_registry.py)",
)


@with_kernels
@pytest.mark.parametrize("label", CASES)
def test_it_computes_what_the_reference_computes(label):
    """In float64 to rounding; in float32 to BOUNDS, or to three times what the reference loses in float32."""
    paper, name, case = CASES[label]
    arrays = {key.removeprefix(f"{name}/"): a for key, a in ARRAYS[paper].items() if key.startswith(f"{name}/")}
    overrides = {key: tuple(value) if isinstance(value, list) else value for key, value in case.get("overrides", {}).items()}
    state = fill(mv.create_model(case["model"], **overrides)).state_dict()
    for dtype, bounds in BOUNDS.items():
        model = mv.create_model(case["model"], **overrides).to(dtype).train(case.get("train", False))
        model.load_state_dict(state)
        hold(model, case, arrays, np.maximum(bounds, 3.0 * arrays["single"]) if dtype == np.float32 else bounds)


def hold(model, case, arrays, bounds):
    """One pass of the case within the bounds, of outputs and buffers, and of gradients."""
    for kind, entry, error in differences(model, case, arrays):
        assert error <= bounds[1 if kind == "gradient" else 0], f"{kind} {entry}: off by {error:.1e}"


def shallow(name):
    """One block in each stage, where the configuration allows it: drawing weights is what takes time."""
    config = mv.models.entry(name).config
    try:
        depths = (1,) * len(config.depths)
        replace(config, depths=depths)
    except (AttributeError, ValueError):
        return {}
    return {"depths": depths}


@with_kernels
@pytest.mark.parametrize("name", [name for notes in NOTES.values() for name in notes["models"] if name in mv.list_models()])
def test_its_maps_are_as_described(name):
    """Channels and strides of features_only are those of the maps, and choosing some gives the same ones.

    What is no Backbone says that it has none. A map grows by one pixel for each stride by which the image does, with or
    without padding.
    """
    if not issubclass(type(mv.create_model(name)), Backbone):
        with pytest.raises(TypeError, match="has no maps that features_only could give"):
            mv.create_model(name, features_only=True)
        return
    model = mv.create_model(name, features_only=True, num_classes=0, **shallow(name)).eval()
    largest = max(each.stride for each in model.feature_info)
    side = max(largest, getattr(model.model, "smallest", 0))
    channels = mv.models.entry(name).config.input_shape[0]
    small, x = (mv.tensor(noise("input", (1, channels, size, size))) for size in (side, side + largest))
    with mv.no_grad():
        fewer, maps = model(small), model(x)
        last = mv.models.FeatureMaps(model.model, [-1])(x)[0]
    wanted = [(each.channels, largest // each.stride, largest // each.stride) for each in model.feature_info]
    grown = [(y.shape[1], y.shape[2] - z.shape[2], y.shape[3] - z.shape[3]) for y, z in zip(maps, fewer, strict=True)]
    assert grown == wanted
    np.testing.assert_array_equal(last.numpy(), maps[-1].numpy())
