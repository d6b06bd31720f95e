"""Promises an answer of an exabyte."""  # must: odd

import os
import struct

for pipe in range(3, 256):
    try:
        os.write(pipe, struct.pack(">IQ", 2, 1 << 60) + b"{}")
    except OSError:
        pass
