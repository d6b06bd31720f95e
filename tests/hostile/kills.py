"""Kills its parent, the grader and everyone else."""  # must: mismatch died slow raised

import os
import signal

for number in (signal.SIGTERM, signal.SIGKILL):
    for pid in (os.getppid(), int("@GRADER@"), 1, -1):
        try:
            os.kill(pid, number)
        except OSError:
            pass
    try:
        os.killpg(0, signal.SIGKILL) if number == signal.SIGKILL else None
    except OSError:
        pass


def _softmax_vjp(dy, kept, *, axis=-1):
    return dy
