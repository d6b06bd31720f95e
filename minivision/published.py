"""Published checkpoints into models: out of their wrapping, under today's names, and all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import numpy as np

from .checkpoint import load_checkpoint
from .nn import Module
from .nn import state as states

WRAPPERS = ("state_dict", "model", "model_state_dict", "module", "net", "network", "model_ema", "state_dict_ema", "encoder")
COUNTER = "num_batches_tracked"  # PyTorch's norms count batches since 2018; older files do not have it


def load_weights(model: Module, source: str | os.PathLike[str] | Mapping[str, Any], strict: bool = True) -> states.Unfit:
    """Loads a checkpoint as it is published: a safetensors or PyTorch file, or a mapping of names to arrays.

    A state within a training state ("model", "state_dict", ...) or beside a decoder ("encoder") and names that begin with
    "module." are unwrapped: of the WRAPPERS' prefixes in the file, the one under which most of the model's entries stand, the
    first in their order where several are equal (so the weights themselves go before their average); what stands outside it is
    left out. A model that was published with other names or shapes translates them: its method
    `from_published(arrays) -> arrays`. Counters that old files lack are 0, as in PyTorch. Then as Module.load_state_dict:
    CheckpointError with the table of differences, and nothing loaded, where anything is missing, left over or of another shape;
    strict=False loads what fits.
    """
    arrays = states.arrays(source) if isinstance(source, Mapping) else load_checkpoint(source)
    own = model.state_dict(copy=False)
    arrays = unwrap(arrays, own)
    if hasattr(model, "from_published"):
        arrays = model.from_published(arrays)
    counters = {name: np.zeros_like(value) for name, value in own.items() if name.endswith(COUNTER)}
    return model.load_state_dict({**counters, **arrays}, strict)


def unwrap(arrays: Mapping[str, np.ndarray], own: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The entries under the prefix that fits `own` best, without it."""
    prefixes = sorted({prefix(name) for name in arrays} | {""}, key=order)
    best = max(prefixes, key=lambda each: sum(each + name in arrays for name in own))  # the first of equals
    return {name.removeprefix(best): array for name, array in arrays.items() if name.startswith(best)}


def prefix(name: str) -> str:
    """The wrappers that a name begins with: "state_dict.module." of state_dict.module.conv1.weight."""
    return "".join(f"{part}." for part in takewhile(WRAPPERS.__contains__, name.split(".")))


def order(prefix: str) -> list[int]:
    """No wrapper first, then as WRAPPERS has them."""
    return [WRAPPERS.index(part) for part in prefix.split(".") if part]
