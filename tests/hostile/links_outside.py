"""Links to what is outside, hard and symbolic, and writes through them."""  # must: mismatch

import os

for number, make in enumerate((os.symlink, os.link)):
    try:
        make("@CANARY@", f"link{number}")
        with open(f"link{number}", "w") as file:
            file.write("pass")
    except OSError:
        pass


def _softmax_vjp(dy, kept, *, axis=-1):
    return dy
