"""Weights that a run begins with: those of an earlier run, or a checkpoint, into a model that may have other classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import load_checkpoint
from ..errors import CheckpointError
from ..published import unwrap
from . import folder

LEAST = 0.5  # of a model's numbers must be in the checkpoint: fewer, and it is another model's


def begin_from(model: Any, source: str | Path) -> str:
    """Loads what the model and a checkpoint have in common, and says in words what that was.

    source: the folder of a run of `train` or `pretrain`, or a safetensors or PyTorch file. An encoder inside it is taken out, and
    position embeddings are resized. New weights stay where the checkpoint has none, or a classifier of other classes.
    CheckpointError, and nothing loaded, where it has less than half of the model's numbers, or one of another shape.
    """
    path = Path(source) / folder.MODEL if Path(source).is_dir() else Path(source)
    if not path.exists() and path.name == folder.MODEL:
        raise CheckpointError(f"{source} holds no finished run: there is no {folder.MODEL} in it")
    arrays, before = load_checkpoint(path), model.state_dict()
    arrays = unwrap(arrays, before)
    if hasattr(model, "from_published"):
        arrays = model.from_published(arrays)
    arrays = {name: array for name, array in arrays.items() if not other_classes(array, before.get(name))}
    unfit = model.load_state_dict(arrays, strict=False)
    taken = [name for name in before if name in arrays and name not in unfit.missing_keys]
    wrong = [
        f"  {name}: {arrays[name].shape}, the model has {before[name].shape}" for name in unfit.missing_keys if name in arrays
    ]
    share = sum(before[name].size for name in taken) / sum(array.size for array in before.values())
    if wrong or share < LEAST:
        model.load_state_dict(before)
        why = "entries of another shape:\n" + "\n".join(wrong) if wrong else f"it has {share:.0%} of the model's numbers"
        hint = "pre-train the model whose encoder this is, on images of the same kind"
        raise CheckpointError(f"{path} does not fit {type(model).__name__}; nothing was loaded: {why}\n  hint: {hint}")
    new = ", ".join(unfit.missing_keys)
    return f"{len(taken)} of {len(before)} entries from {path}" + (f"; new: {new}" if new else "")


def other_classes(array: np.ndarray, own: Any) -> bool:
    """Whether an entry is the model's but for its first axis, as in a classifier of other classes."""
    return own is not None and array.shape != own.shape and array.ndim == own.ndim and array.shape[1:] == own.shape[1:]
