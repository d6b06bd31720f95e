"""Writes bytes that are no answer."""  # must: odd

import os

for pipe in range(3, 256):
    try:
        os.write(pipe, os.urandom(4096))
    except OSError:
        pass
