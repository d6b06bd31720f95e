"""Taking elements by number or mask, and putting them back."""

from __future__ import annotations

from ..ops.methods.indexing import (
    diag,
    diag_embed,
    diagonal,
    gather,
    index_add,
    index_copy,
    index_fill,
    index_select,
    masked_fill,
    masked_select,
    nonzero,
    repeat_interleave,
    scatter,
    scatter_add,
    take_along_dim,
)

__all__ = [
    "diag", "diag_embed", "diagonal", "gather", "index_add", "index_copy", "index_fill", "index_select", "masked_fill",
    "masked_select", "nonzero", "repeat_interleave", "scatter", "scatter_add", "take_along_dim",
]  # fmt: skip
