"""Many processes, each with less memory than a process may have."""  # must: died slow

import os
import time

for _ in range(12):
    if os.fork() == 0:
        held = bytearray(b"x") * (160 << 20)
        time.sleep(1000)
time.sleep(1000)
