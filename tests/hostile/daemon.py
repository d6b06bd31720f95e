"""Leaves a process behind that has a session of its own, no files open, and time to wait for the grader's end."""  # must: mismatch

import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 256)
        os.execvp("python3", ["python3", "-c", "import time; time.sleep(600); '@MARK@'"])
    os._exit(0)
time.sleep(0.3)


def _softmax_vjp(dy, kept, *, axis=-1):
    return dy
