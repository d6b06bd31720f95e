"""Reads address 0."""  # must: died

import ctypes


def _softmax_vjp(dy, kept, *, axis=-1):
    return ctypes.string_at(0)
