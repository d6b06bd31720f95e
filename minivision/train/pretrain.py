"""Pre-training: a model that hides a part of each image from itself learns to paint it. No label is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import Dataset
from ..errors import SettingError, about_settings
from ..models import entry, list_models
from ..recording import no_grad
from ..tape import Tensor
from .build import build_model
from .config import PretrainConfig
from .tally import Tally
from .trainer import Trainer

MASKS = 0  # seed of the masks of the test images: in every epoch and every run the same


class Pretrainer(Trainer):
    """One run of a PretrainConfig: the loss of a masked image model such as mae or simmim in place of answers about labels."""

    config: PretrainConfig

    def check(self) -> None:
        """SettingError where the configuration's model is no masked image model."""
        check_masked(self.config.model)

    def build(self, resumed: bool) -> Any:
        """The masked image model."""
        wanted = {"mask_ratio": self.config.mask_ratio} if self.config.mask_ratio else {}
        return build_model(self.config.model, self.data, **wanted)

    def answer(self, images: np.ndarray, labels: np.ndarray) -> tuple[Any, float]:
        """The mean loss of what was hidden, with its graph; nothing is right or wrong."""
        return self.model(Tensor(images)).loss, 0.0

    @no_grad()
    def test(self) -> Tally:
        """The loss on the test images, always behind the same masks."""
        self.model.eval()
        tally, size, noise = Tally(), self.config.batch_size, np.random.default_rng(MASKS)
        for start in range(0, len(self.data.test_labels), size):
            images = self.data.test_images[start : start + size]
            tally.add(len(images), self.model(Tensor(images), noise).loss.item())
        return tally

    def figures(self, part: str, tally: Tally) -> dict[str, float]:
        """What a row has of the training or of the test part."""
        return {f"{part}_loss": tally.mean_loss}

    def results(self, found: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The figures of a finished run, and its picture: what was hidden, and what is painted there."""
        from ..plot import pretraining_report

        return found, pretraining_report(self.model, self.data, self.rows, found)


def check_masked(name: str) -> None:
    """SettingError where a model is unknown, or not one that hides a part of its images."""
    with about_settings():
        own = entry(name).name
    if not is_masked(own):
        masked = ", ".join(filter(is_masked, list_models()))
        raise SettingError(f"{own} does not hide a part of its images, so it cannot be pre-trained so\n  expected: {masked}")


def is_masked(name: str) -> bool:
    """Whether a registered model hides a part of its images from itself."""
    return hasattr(entry(name).config, "mask_ratio")


def reconstructions(model: Any, dataset: Dataset, numbers: np.ndarray, seed: int = MASKS) -> np.ndarray:
    """Some test images, what the model sees of them, and what it paints: (3, N, C, H, W), standardised; hidden pixels are NaN.

    The painted images hold the model's pixels where it saw none, the true ones elsewhere.
    """
    images = dataset.test_images[numbers]
    with no_grad():
        painted, hidden = model.eval().painted(Tensor(images), np.random.default_rng(seed))
    return np.stack([images, np.where(hidden, np.nan, images), np.where(hidden, painted, images)])
