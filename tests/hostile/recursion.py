"""Calls itself until the stack ends."""  # must: raised died slow

import sys

sys.setrecursionlimit(1 << 30)


def _softmax_vjp(dy, kept, *, axis=-1):
    return _softmax_vjp(dy, kept, axis=axis)
