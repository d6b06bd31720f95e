"""A gigabyte on the standard output, then a wrong answer."""  # must: mismatch slow

import os

for _ in range(1 << 10):
    os.write(1, b"passed\n" * ((1 << 20) // 7))


def _softmax_vjp(dy, kept, *, axis=-1):
    return dy
