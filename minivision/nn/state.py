"""Loading values into a module by name: everything is checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import CheckpointError
from ..tape import Tensor
from .parameter import Parameter


class Unfit(NamedTuple):
    """Names that the mapping lacks, and names in it that were not used."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class _Row(NamedTuple):
    entry: str
    problem: str
    expected: str
    came: str


def load(owner: str, own: Mapping[str, Tensor], mapping: Mapping[str, Any], strict: bool) -> Unfit:
    """Copies the mapping's arrays into the tensors of the same names; see Module.load_state_dict."""
    came = arrays(mapping)
    unfit = {row.entry for row in (check(owner, own, came) if strict else _problems(own, came))}
    for name, tensor in own.items():  # in their order: of two names of one parameter the later counts, as in PyTorch
        if name in came and name not in unfit:
            _assign(tensor, came[name])
    return Unfit([n for n in own if n in unfit], [n for n in came if n in unfit])


def arrays(mapping: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A mapping's values as arrays, not copied."""
    return {name: np.asarray(value.data if isinstance(value, Tensor) else value) for name, value in mapping.items()}


def check(owner: str, own: Mapping[str, Any], came: Mapping[str, np.ndarray]) -> list[_Row]:
    """One CheckpointError with a table of every entry that is missing, unexpected or does not fit; else no rows.

    own: what is expected, as anything that has a shape and a dtype.
    """
    if rows := _problems(own, came):
        raise CheckpointError(_report(owner, rows, len(own)))
    return []


def _problems(own: Mapping[str, Any], came: Mapping[str, np.ndarray]) -> list[_Row]:
    rows = [_Row(n, "missing", str(t.shape), "-") for n, t in own.items() if n not in came]
    rows += [_Row(n, "unexpected", "-", str(a.shape)) for n, a in came.items() if n not in own]
    both = [(n, own[n], a) for n, a in came.items() if n in own]
    rows += [_Row(n, "wrong shape", str(t.shape), str(a.shape)) for n, t, a in both if t.shape != a.shape]
    return rows + [
        _Row(n, "wrong type", str(t.dtype), str(a.dtype)) for n, t, a in both if t.shape == a.shape and not _converts(a, t.dtype)
    ]


def _converts(array: np.ndarray, dtype: np.dtype) -> bool:
    """Numbers go into floats, whole numbers and booleans into whole numbers; nothing else."""
    return array.dtype.kind in ("fiub" if dtype.kind == "f" else "iub")


def _assign(tensor: Tensor, values: np.ndarray) -> None:
    if isinstance(tensor, Parameter):
        tensor.assign(values)
    else:
        tensor.data[...] = values
        tensor.version[0] += 1


def _report(owner: str, rows: list[_Row], total: int) -> str:
    table = [_Row._fields, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(_Row._fields))]
    lines = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    head = f"load_state_dict: {len(rows)} entries do not fit {owner} ({total} entries); nothing was loaded"
    hint = "  hint: is it of another model or size, or with a prefix on its names? A module's strict=False loads what fits"
    return "\n".join([head, *lines, hint])
