"""Models by name, and what every registered model must pass: to register a model is to add these tests for it."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from golden.weights import noise, numbers
from miniatures import MINIATURES, entries, fill

import minivision as mv
from minivision import kernels, models, optim
from minivision.models import _registry
from minivision.models.vit import ViTConfig

NAMES = mv.list_models()
REFERENCE = {
    name: found
    for file in Path(__file__).parent.glob("golden/*.json")
    for name, found in json.loads(file.read_text())["models"].items()
}


def smaller(name):
    """The configuration of the miniature."""
    config = models.entry(name).config
    return MINIATURES[type(config)].smaller(config)


DISTINCT = list({(type(config), config): name for name in reversed(NAMES) for config in [smaller(name)]}.values())  # miniatures


def miniature(name, dtype=np.float64):
    """A small model of the same structure with its state by rule, and one batch of inputs."""
    found, config = models.entry(name), smaller(name)
    shape, tokens = (3, *config.input_shape), getattr(config, "vocab_size", None)
    model = fill(found.build(config).to(dtype)).train(MINIATURES[type(config)].training)
    return model, numbers("input", shape, tokens) if tokens else noise("input", shape).astype(dtype)


def joined(y):
    """What a model returns; of several Tensors, all their numbers in a row."""
    return np.concatenate([part.reshape(-1) for part in y]) if isinstance(y, tuple) else y


def learned(model):
    """The parameters that are."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def gradients(model, x):
    """{name: d<y, c>/d(it)} for the input, where it is not of whole numbers, and everything learned, c random; and y."""
    x = mv.tensor(x, requires_grad=x.dtype.kind == "f")
    y = joined(model(x))
    leaves = {**({"input": x} if x.requires_grad else {}), **learned(model)}
    found = mv.grad(y, list(leaves.values()), mv.tensor(noise("cotangent", y.shape).astype(y.dtype)))
    arrays = {
        name: np.zeros(leaf.shape) if g is None else g.numpy() for (name, leaf), g in zip(leaves.items(), found, strict=True)
    }
    return arrays, y.numpy()


# ------------------------------------------------------------------------------------------------ by name


def test_models_are_listed_by_pattern():
    assert mv.list_models("deit_*_patch16_224") == [
        f"deit_{size}_{kind}patch16_224" for size in ("base", "small", "tiny") for kind in ("distilled_", "")
    ]
    assert set(mv.list_models("*")) == set(NAMES) >= {"vit_tiny_patch16_224", "vit_digits"}
    assert mv.list_models("nothing*") == []


def test_an_unknown_model_names_the_closest():
    with pytest.raises(ValueError, match=r"no model 'vit_tiny_patch16_244' \(did you mean vit_tiny_patch16_224 or "):
        mv.create_model("vit_tiny_patch16_244")
    with pytest.raises(ValueError, match=r"no model 'qqq'; list_models\(\) shows all \d+$"):
        mv.create_model("qqq")


def test_an_unknown_override_names_the_closest_and_all():
    with pytest.raises(
        TypeError,
        match=r"vit_digits has no option 'n_classes' \(did you mean num_classes or in_chans\?\); it takes .*drop_path_rate",
    ):
        mv.create_model("vit_digits", n_classes=3)


def test_an_alias_names_the_same_model_and_is_not_listed():
    assert models.entry("vit") is models.entry("vit_digits")
    assert "vit" not in NAMES


def test_overrides_change_that_model_alone():
    assert mv.create_model("vit_digits", num_classes=3).config.num_classes == 3
    assert mv.create_model("vit_digits").config.num_classes == 10


@pytest.mark.parametrize("name", ["vit_digits", "vit"])
def test_a_name_is_registered_once(name):
    with pytest.raises(ValueError, match="registered twice"):
        models.register(name, ViTConfig(64, 4, 4))(lambda config: None)


def test_a_new_model_is_registered_by_its_decorator(monkeypatch):
    monkeypatch.setattr(_registry, "_ENTRIES", {})
    monkeypatch.setattr(_registry, "_ALIASES", {})
    models.register("new", ViTConfig(64, 4, 4), alias="n")(lambda config: config.depth)
    assert (mv.create_model("n", depth=9), mv.list_models()) == (9, ["new"])


# -------------------------------------------------------------------------------------- every registered model


@pytest.mark.parametrize("name", NAMES)
def test_building_takes_no_memory_for_weights(name):
    assert not any(p.is_filled() for p in mv.create_model(name).parameters())


@pytest.mark.parametrize("name", NAMES)
def test_the_size_is_the_published_one(name):
    found, model = models.entry(name), mv.create_model(name)
    assert name in REFERENCE or found.params is found.macs is None, "a published size is checked against a reference"
    counted = mv.profile(model, found.config.input_shape)
    sizes = [(each["params"], each["macs"]) for each in [REFERENCE.get(name)] if each]
    sizes += [(found.params, found.macs)] if found.params is not None else []
    assert all((counted.parameters, counted.macs) == each for each in sizes)


@pytest.mark.parametrize("name", [name for name in NAMES if name in REFERENCE])
def test_entries_and_their_order_are_the_reference_s(name):
    own = {key: "x".join(map(str, shape)) for key, shape in entries(mv.create_model(name)).items()}
    assert list(own.items()) == list(REFERENCE[name]["keys"].items())


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_is_a_frozen_record(name):
    config = models.entry(name).config
    assert is_dataclass(config)
    assert hash(config) == hash(replace(config))
    assert all(isinstance(n, int) and n > 0 for n in config.input_shape)
    assert {"num_classes", "in_chans", "vocab_size"} & {field.name for field in fields(config)}


@pytest.mark.parametrize("name", DISTINCT)
def test_the_derivative_along_a_random_direction(name):
    """d/dt <c, f(w + t v, x + t u)> at 0, by fourth-order differences in float64, is <gradients, (v, u)>."""
    model, x = miniature(name)
    found, _ = gradients(model, x)
    start = {key: p.numpy().copy() for key, p in learned(model).items()}
    along = {key: noise(key + " direction", g.shape).astype(np.float64) for key, g in found.items()}
    for key, value in start.items():  # as large as what it changes, so that no layer moves more than another
        along[key] *= np.sqrt(np.mean(value * value))

    def at(t):
        model.load_state_dict({key: value + t * along[key] for key, value in start.items()}, strict=False)
        y = joined(model(mv.tensor(x + t * along["input"] if "input" in along else x))).numpy()
        return np.sum(y * noise("cotangent", y.shape))

    exact, size = sum(np.sum(g * along[key]) for key, g in found.items()), np.sqrt(sum(np.sum(g * g) for g in found.values()))
    steps, bound = ((1e-5, 1e-6, 1e-7), 1e-8) if MINIATURES[type(model.config)].kinks else ((1e-5,), 1e-10)
    numeric = [(8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h) for h in steps]  # a small step crosses no kink
    assert min(abs(each - exact) for each in numeric) <= bound * size


@pytest.mark.parametrize("name", DISTINCT)
def test_the_loss_falls(name):
    model, x = miniature(name, np.float32)
    told = MINIATURES[type(model.config)]
    optimizer = optim.AdamW(model.parameters(), lr=told.lr)
    losses = []
    for _ in range(told.steps):
        loss = told.loss(model(mv.tensor(x)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.skipif(not kernels.AVAILABLE, reason=f"the C kernels are not built: {kernels.REASON}")
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 2e-5), (np.float64, 2e-13)])
@pytest.mark.parametrize("name", DISTINCT)
def test_the_kernels_give_what_the_definitions_give(name, dtype, bound):
    model, x = miniature(name, dtype)
    told = MINIATURES[type(model.config)]
    with mv.backend("numpy"):
        wanted, y = gradients(model, x)
    with mv.backend("c"):
        found, y_c = gradients(model, x)
    least = 1e-3 * np.sqrt(sum(np.sum(g * g) for g in wanted.values()))
    bound *= 50 if told.kinks else 1  # batch norms of twelve samples enlarge rounding
    for key, g in {**wanted, "output": y}.items():
        error = np.linalg.norm({**found, "output": y_c}[key] - g)
        counts_for_nothing = told.kinks or key.endswith(told.idle)  # such as a bias before a norm
        assert error <= bound * max(np.linalg.norm(g), least if counts_for_nothing else 0.0), key
