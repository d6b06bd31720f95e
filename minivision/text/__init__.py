"""Text as numbers and back: byte-level byte-pair encoding, and WordPiece."""

from __future__ import annotations

from .bpe import BytePairs
from .wordpiece import Batch, WordPiece

__all__ = ["Batch", "BytePairs", "WordPiece"]
