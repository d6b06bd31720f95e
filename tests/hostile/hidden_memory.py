"""Memory that is counted to no process: files in memory, and shared segments that are let go of."""  # must: raised slow

import ctypes
import os

library = ctypes.CDLL(None, use_errno=True)
library.shmat.restype = ctypes.c_void_p
for _ in range(100):
    segment = library.shmget(0, ctypes.c_size_t(64 << 20), 0o1600)
    if segment >= 0:
        library.shmat(segment, None, 0)
files = [os.memfd_create("held") for _ in range(100)]
for file in files:
    os.write(file, bytes(16 << 20))
