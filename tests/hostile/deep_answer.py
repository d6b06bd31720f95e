"""An answer that is nested a million deep, and one that has a number with a million digits."""  # must: odd

import os
import struct

for header in (b"[" * (1 << 16), b'{"list":[' * 5000 + b"]}" * 5000, b"9" * (1 << 16)):
    for pipe in range(3, 256):
        try:
            os.set_blocking(pipe, False)
            os.write(pipe, struct.pack(">IQ", len(header), 0) + header)
        except OSError:
            pass
