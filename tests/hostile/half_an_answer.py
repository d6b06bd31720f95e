"""Begins an answer and never ends it."""  # must: slow

import os
import struct
import time

for pipe in range(3, 256):
    try:
        os.write(pipe, struct.pack(">IQ", 1000, 0) + b"{")
    except OSError:
        pass
time.sleep(100000)
