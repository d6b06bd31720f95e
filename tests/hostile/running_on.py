"""Processes that keep starting the next one and ending themselves, faster than a list of them can be read."""  # must: mismatch raised

import os


def run_on():
    os.setsid()
    while True:
        if os.fork():
            os._exit(0)


if os.fork() == 0:
    run_on()


def _softmax_vjp(dy, kept, *, axis=-1):
    return dy
