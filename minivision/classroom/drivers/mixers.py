"""Blocks and heads of Mixer and MetaFormer in float64, with weights that are sent, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models.metaformer import Head, MetaFormerBlock, MetaFormerConfig
from ...models.mlp_mixer import MixerBlock, MixerConfig
from ...models.token_mixers import Pooling
from ...tape import Tensor


def mixer_block() -> MixerBlock:
    """A block for 4 patches of 6 channels, D_S = 3, D_C = 12."""
    return MixerBlock(MixerConfig(6, 1, 2, (0.5, 2.0), img_size=4), 0.0).double().eval()


def metaformer_block(mixer: str) -> MetaFormerBlock:
    """A block for maps of 4 channels and 3 x 2 places."""
    return MetaFormerBlock(4, mixer, 6, 0.0, MetaFormerConfig((1,), (4,))).double().eval()


def head(order: str, drop: float = 0.0) -> Head:
    """A head for 4 channels and 3 classes."""
    return Head(MetaFormerConfig((1,), (4,), head=order, num_classes=3, drop_rate=drop)).double().eval()


MODULES: dict[str, Callable[..., Any]] = {"mixer": mixer_block, "metaformer": metaformer_block, "head": head}


def module(student: Callable[..., Any], name: str, state: dict[str, np.ndarray], x: Tensor, *options: Any) -> Any:
    """student(self, x) where self is one of MODULES with these weights."""
    made = MODULES[name](*options)
    made.load_state_dict(state)
    return student(made, x)


def dropped(student: Callable[..., Any], name: str, x: Tensor, *options: Any) -> Any:
    """student(self, x) in training, where the block's branches, or all that the classifier is given, are always left out."""
    made = MODULES[name](*options).train()
    if name == "head":
        made.drop.p = 1.0
        made.fc.bias.data[:] = np.arange(3.0)
    else:
        made.drop_path.drop_prob = 1.0
    return student(made, x)


def pooling(student: Callable[..., Any], kernel: int, x: Tensor) -> Any:
    """student(self, x) where self is a Pooling."""
    return student(Pooling(kernel), x)
