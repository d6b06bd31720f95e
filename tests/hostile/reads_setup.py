"""Looks for answers in all that its process was given: its input, its memory, its parents' files."""  # must: mismatch

import gc
import os
import sys

for path in ("/proc/self/fd/0", "/proc/1/environ", "/proc/1/mem", "/proc/@GRADER@/environ", "/proc/@GRADER@/mem", "/proc/1/cwd"):
    try:
        with open(path, "rb") as file:
            assert b"dy * y" not in file.read(1 << 20)
    except OSError:
        pass
assert not [each for each in gc.get_objects() if "expected" in type(each).__dict__]
assert not [name for name in sys.modules if "checks" in name], "the checks are here"
assert not any(os.environ.get(name) for name in ("PATH_TO_ANSWERS", "PYTEST_CURRENT_TEST", "GRADESCOPE")), (
    "the teacher's environment"
)


def _softmax_vjp(dy, kept, *, axis=-1):
    return dy
