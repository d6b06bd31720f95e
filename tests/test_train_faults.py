"""NaN and infinity: training stops, says where they first appeared, and keeps the last good weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import small, stepped, tiny_mnist

import minivision as mv
from minivision import data, nn, train
from minivision.errors import TrainingError
from minivision.train import Trainer, blame, folder
from minivision.train.build import build_model


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_mnist(tmp_path_factory.mktemp("mnist"))


def test_a_learning_rate_too_high_stops_and_keeps_the_last_good_weights(spec: str, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"training stopped at step \d+ \(epoch \d, batch \d\): the loss is (nan|inf)"
    ) as caught:
        train.start(small(spec, lr=1e30, warmup=0.0), tmp_path)
    assert "first not finite: the output of blocks.0" in str(caught.value)
    assert "try --lr below 1e+30" in str(caught.value)
    kept = mv.load_checkpoint(tmp_path / folder.MODEL)
    assert all(np.isfinite(array).all() for array in kept.values())
    model = build_model("vit", data.load(spec, 0))
    model.load_state_dict(kept)
    assert np.isfinite(train.predict(model, data.load(spec, 0).test_images, 20)).all()
    assert not (tmp_path / folder.METRICS).exists()


def test_a_planted_nan_is_named_with_its_step(spec: str) -> None:
    trainer = stepped(Trainer(small(spec)), 5)
    trainer.model.blocks[2].mlp.fc1.weight.data[3, 4] = np.nan
    with pytest.raises(TrainingError, match=r"step 6 .*\n.*the parameter blocks\.2\.mlp\.fc1\.weight, itself NaN"):
        stepped(trainer, 1)
    trainer.back_to_good()
    assert all(np.isfinite(array).all() for array in trainer.model.state_dict().values())


def test_a_resumed_run_falls_back_on_what_it_resumed_from(spec: str) -> None:
    first, second = stepped(Trainer(small(spec)), 5), Trainer(small(spec))
    arrays, more = first.state()
    second.restore(arrays, more)
    second.model.head.bias.data[0] = np.nan
    with pytest.raises(TrainingError, match="step 6 "):
        stepped(second, 1)
    second.back_to_good()
    kept = second.model.state_dict()
    assert all(np.array_equal(kept[name], array) for name, array in first.model.state_dict().items())


def test_a_module_that_overflows_is_named(spec: str) -> None:
    trainer = stepped(Trainer(small(spec)), 1)
    trainer.model.blocks[1].norm2.weight.data[...] = 3e38
    trainer.model.blocks[1].norm2.weight.data[::2] = -3e38
    with pytest.raises(TrainingError, match=r"step 2 .*\n.*the output of blocks\.1\.norm2 \(LayerNorm\), which is infinite$"):
        stepped(trainer, 1)


def test_a_gradient_that_is_not_finite_is_named_and_not_taken(spec: str) -> None:
    class Root(nn.Module):
        """Its value is finite, its derivative at 0 is not."""

        def __init__(self) -> None:
            super().__init__()
            self.scale, self.offset = nn.Parameter(np.zeros(10, np.float32)), nn.Parameter(np.ones(10, np.float32))

        def forward(self, x: mv.Tensor) -> mv.Tensor:
            return x.reshape(x.shape[0], -1)[:, :10] * np.sqrt(self.scale) + self.offset

    trainer = Trainer(small(spec))
    trainer.model = Root()
    trainer.optimizer = mv.optim.AdamW(trainer.model.parameters())
    with pytest.raises(TrainingError, match=r"its gradient is not finite\n.*the gradient of scale"):
        stepped(trainer, 1)
    assert np.array_equal(trainer.model.offset.data, np.ones(10, np.float32))


def test_the_forward_pass_is_run_again_with_the_same_drops(spec: str) -> None:
    """Under drop path, only the very same random numbers lead to the module that failed."""
    trainer = stepped(Trainer(small(spec, drop_path=0.9, batch_size=1)), 1)
    trainer.model.blocks[3].mlp.fc2.bias.data[...] = 1e38  # finite; divided by the chance to be kept, 0.1, it is not
    with pytest.raises(TrainingError, match=r"first not finite: the output of blocks\.3\.drop_path"):
        stepped(trainer, 59)


def test_gradients_that_are_finite_but_too_long(spec: str) -> None:
    model = nn.Linear(3, 2)
    for parameter in model.parameters():
        parameter.grad = mv.tensor(np.full(parameter.shape, 1e30, np.float32))
    assert "sum of their squares" in blame.gradient_fault(model)


def test_images_that_are_not_finite() -> None:
    assert blame.forward_fault(nn.Identity(), np.array([1.0, np.inf])) == "the images of this batch"
