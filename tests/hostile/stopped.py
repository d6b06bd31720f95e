"""Stops itself, so that no signal but one reaches it."""  # must: slow

import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
