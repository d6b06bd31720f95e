"""Threads that go on when the answer is given, and one that waits for Python's end."""  # must: mismatch slow

import atexit
import threading
import time


def go_on():
    while True:
        time.sleep(0.001)


def _softmax_vjp(dy, kept, *, axis=-1):
    threading.Thread(target=go_on).start()
    atexit.register(go_on)
    return dy
