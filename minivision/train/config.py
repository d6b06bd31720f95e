"""The settings of a run: the same record makes the command line's options, config.json and the saved state."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..backend import get_backend
from ..errors import SettingError


def _setting(default: Any, help: str, **limits: Any) -> Any:
    """A field whose metadata says what it means and where it may lie."""
    default = {"default_factory": default} if callable(default) else {"default": default}
    return field(**default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class RunConfig:
    """What decides the numbers of a run: two runs of one configuration on one machine end with the same bits.

    The number of threads is not here: it changes the speed only.
    """

    model: str
    data: str = _setting("digits", "digits, shapes, photos, mnist:DIR, cifar10:DIR or folder:DIR")
    epochs: int = _setting(60, "passes over the training images", at_least=1)
    batch_size: int = _setting(32, "images in a step", at_least=1)
    lr: float = _setting(1.5e-3, "highest learning rate: after the warm-up, before the cosine", at_least=0.0)
    table_lr: float = _setting(10.0, "the learning rate of class token and positions is so many times as high", above=0.0)
    weight_decay: float = _setting(0.05, "AdamW's decay of matrices; biases and norms have none", at_least=0.0)
    beta2: float = _setting(0.999, "how much of the mean of squared gradients AdamW keeps at each step", at_least=0.0, below=1.0)
    warmup: float = _setting(0.1, "share of the steps in which the learning rate rises", at_least=0.0, below=1.0)
    clip: float = _setting(1.0, "longest gradient; longer ones are scaled down to it", above=0.0)
    seed: int = _setting(0, "decides the split, the first weights, the order and the augmentation", at_least=0)
    augment: bool = _setting(True, "small shifts and rotations of the training images")
    backend: str = _setting(get_backend, "who computes: the kernels or the NumPy definitions", choices=("c", "numpy"))

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each.name, getattr(self, each.name), each.metadata)

    def differences(self, wanted: Mapping[str, Any]) -> list[str]:
        """The settings of `wanted` that are not this run's: "lr is 0.002, not 0.1"."""
        return [f"{name} is {own!r}, not {wanted[name]!r}" for name, own in asdict(self).items() if wanted.get(name, own) != own]


@dataclass(frozen=True)
class Config(RunConfig):
    """Training on labels. The defaults are for vit on digits.

    They were chosen by the accuracy on a fifth of the training images, kept out of training, over several seeds; how far the
    digits are moved, also by how clearly the position embeddings show the grid.
    """

    label_smoothing: float = _setting(0.1, "share of the target spread over all classes", at_least=0.0, below=1.0)
    drop_path: float = _setting(0.0, "chance of leaving out the last block's branches", at_least=0.0, below=1.0)
    labels: int = _setting(0, "labelled training images of each class; 0: all that there are", at_least=0)
    pool: str = _setting("", "what a ViT's answer is read from (its own way without)", choices=("", "token", "avg"))
    init: str = _setting("", "weights to begin with: the folder of a run, or a checkpoint", metavar="PATH")


@dataclass(frozen=True)
class PretrainConfig(RunConfig):
    """Training on masked images, without labels. The defaults are for mae and simmim on digits.

    Images are taken as they are: what moves them by parts of a pixel also blurs them, and of a digit little is left then. The
    rate was chosen for mae; simmim learns more at 0.01.
    """

    epochs: int = _setting(100, "passes over the training images", at_least=1)
    batch_size: int = _setting(64, "images in a step", at_least=1)
    lr: float = _setting(3e-3, "highest learning rate: after the warm-up, before the cosine", at_least=0.0)
    table_lr: float = _setting(1.0, "the learning rate of tokens and positions is so many times as high", above=0.0)
    beta2: float = _setting(0.95, "how much of the mean of squared gradients AdamW keeps at each step", at_least=0.0, below=1.0)
    augment: bool = _setting(False, "small shifts and rotations of the training images")
    mask_ratio: float = _setting(0.0, "share of the patches that is hidden; 0: the model's own", at_least=0.0, below=1.0)


@dataclass(frozen=True)
class TextConfig(RunConfig):
    """Training a language model on a text. The defaults are for gpt2_tiny on this library's own source."""

    data: str = _setting("text", "text: this library's own source; text:FILE or text:DIR, UTF-8")
    epochs: int = _setting(10, "passes over the text", at_least=1)
    batch_size: int = _setting(16, "pieces of the text in a step", at_least=1)
    lr: float = _setting(3e-3, "highest learning rate: after the warm-up, before the cosine", at_least=0.0)
    table_lr: float = _setting(1.0, "the learning rate of positions is so many times as high", above=0.0)
    weight_decay: float = _setting(0.1, "AdamW's decay of matrices; biases and norms have none", at_least=0.0)
    beta2: float = _setting(0.95, "how much of the mean of squared gradients AdamW keeps at each step", at_least=0.0, below=1.0)
    length: int = _setting(0, "tokens of a piece; 0: all that the model has places for", at_least=0)
    init: str = _setting("", "weights to begin with: the folder of a run, or a checkpoint", metavar="PATH")


LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "at_least": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "below": ("below", operator.lt),
}


def _check(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    for kind, (words, holds) in LIMITS.items():
        if kind in limits and not holds(value, limits[kind]):
            raise SettingError(f"{name} must be {words} {limits[kind]:g}, got {value}")
    if value == math.inf:
        raise SettingError(f"{name} must be finite, got {value}")
    if value not in limits.get("choices", (value,)):
        raise SettingError(f"{name} must be one of {', '.join(limits['choices'])}, got {value!r}")
