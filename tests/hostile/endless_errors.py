"""Prints to the error output without end."""  # must: slow

import sys


def _softmax_vjp(dy, kept, *, axis=-1):
    while True:
        print("\x1b[2J\x1b[1mpassed\x1b[0m", file=sys.stderr)
