"""Uses no processor time at all, for a long time."""  # must: slow

import time


def _softmax_vjp(dy, kept, *, axis=-1):
    time.sleep(100000)
