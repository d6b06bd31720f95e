"""Whether operations are being recorded for a backward pass: a switch of each thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Mode(threading.local):
    recording = True


_mode = _Mode()


def is_recording() -> bool:
    """Whether operations on this thread are being recorded."""
    return _mode.recording


@contextmanager
def set_grad_enabled(enabled: bool) -> Iterator[None]:
    """Records operations on this thread, or does not, inside a `with` block or a decorated function."""
    before, _mode.recording = _mode.recording, enabled
    try:
        yield
    finally:
        _mode.recording = before


def no_grad() -> Any:
    """Inside `with mv.no_grad():` (or a function decorated with it) nothing is recorded."""
    return set_grad_enabled(False)
