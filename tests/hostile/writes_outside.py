"""Writes into the library, the canary, the system and the places where anyone may write."""  # must: mismatch

import os
from pathlib import Path

import numpy as np

places = ["@CANARY@", "@LIBRARY@/minivision/ops/softmax.py", "@LIBRARY@/minivision/classroom/check.py", np.__file__]
places += [os.__file__, __import__("minivision").__file__, "/usr/@MARK@", "/tmp/../@MARK@", "/etc/@MARK@", "../../@MARK@"]
for place in places:
    try:
        os.chmod(place, 0o666)
    except OSError:
        pass
    try:
        os.unlink(place)
    except OSError:
        pass
    try:
        Path(place).write_text("pass")
    except OSError:
        pass


def _softmax_vjp(dy, kept, *, axis=-1):
    return dy
