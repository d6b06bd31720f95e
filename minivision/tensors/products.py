"""Products of vectors, matrices and arrays as functions."""

from __future__ import annotations

from ..ops.einsum import einsum
from ..ops.methods.products import addmm, baddbmm, bmm, dot, kron, matmul, mm, mv, outer, tensordot

__all__ = ["addmm", "baddbmm", "bmm", "dot", "einsum", "kron", "matmul", "mm", "mv", "outer", "tensordot"]
