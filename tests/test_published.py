"""Published checkpoints find their way into a model, whatever they are wrapped in, or are refused with all differences."""

from __future__ import annotations

import numpy as np
import pytest
from miniatures import fill

import minivision as mv


@pytest.fixture
def state():
    return fill(mv.create_model("resnet_digits")).state_dict()


def loaded(source, **options):
    """The state of a fresh model after load_weights."""
    model = mv.create_model("resnet_digits")
    unfit = mv.load_weights(model, source, **options)
    return model.state_dict(), unfit


def under(prefix, state):
    """The entries with a prefix."""
    return {prefix + name: array for name, array in state.items()}


def equal(found, wanted):
    return found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("prefix", ["", "module.", "state_dict.", "model.", "model.module.", "state_dict.module.", "model_ema."])
def test_it_is_unwrapped(state, prefix):
    more = {"optimizer.state.0.exp_avg": np.zeros(3), "lr": np.array(0.1)} if prefix else {}
    found, unfit = loaded(under(prefix, state) | more)
    assert equal(found, state)
    assert unfit == ([], [])


def test_the_weights_go_before_their_average(state):
    average = {name: np.zeros_like(array) for name, array in state.items()}
    assert equal(loaded(under("state_dict_ema.", average) | under("model.", state))[0], state)


@pytest.mark.parametrize("strict", [True, False])
def test_counters_that_old_files_lack_are_zero(state, strict):
    old = {name: array for name, array in state.items() if not name.endswith("num_batches_tracked")}
    model = mv.create_model("resnet_digits")
    model(mv.tensor(np.ones((2, 1, 8, 8), np.float32)))  # a batch is counted
    assert model.bn1.num_batches_tracked.item() == 1
    assert mv.load_weights(model, old, strict) == ([], [])
    assert equal(model.state_dict(), old | {name: np.zeros((), np.int64) for name in state.keys() - old.keys()})


def test_from_a_file(state, tmp_path):
    mv.save_checkpoint(tmp_path / "w.safetensors", under("module.", state))
    assert equal(loaded(tmp_path / "w.safetensors")[0], state)


def test_a_model_s_own_translation_comes_after_the_unwrapping(state):
    model = mv.create_model("resnet_digits")
    model.from_published = lambda arrays: {name.replace("first.", "conv1.", 1): array for name, array in arrays.items()}
    mv.load_weights(
        model,
        {
            name.replace("conv1.", "module.first.", 1) if name.startswith("conv1.") else f"module.{name}": array
            for name, array in state.items()
        },
    )
    assert equal(model.state_dict(), state)


def test_what_does_not_fit_is_told_in_one_table_and_nothing_is_loaded(state):
    model = mv.create_model("resnet_digits")
    before = model.state_dict()
    wrong = under("backbone.", state)
    with pytest.raises(
        mv.CheckpointError, match=r"nothing was loaded(.|\n)*conv1.weight +missing(.|\n)*backbone.conv1.weight +unexpected"
    ):
        mv.load_weights(model, wrong)
    with pytest.raises(mv.CheckpointError, match=r"fc.weight +wrong shape +\(10, 32\) +\(1000, 32\)"):
        mv.load_weights(model, state | {"fc.weight": np.zeros((1000, 32), np.float32)})
    assert equal(model.state_dict(), before)
