"""Asks for more than it was given, of everything."""  # must: raised

import os
import resource

allowed = []
for name in ("AS", "NPROC", "FSIZE", "NOFILE", "CPU", "CORE"):
    try:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        allowed.append(name)
    except (OSError, ValueError):
        pass
for identify in (os.setuid, os.setgid):
    try:
        identify(0)
        allowed.append("root")
    except OSError:
        pass
open("@CANARY@", "w").write(f"{allowed}") if allowed else None
raise PermissionError(f"allowed: {allowed}")
