"""Runs inside a sandbox before any submission does, and prints what it could do there: `python -c TEXT JSON`."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any


def can(action: Callable[[], Any]) -> bool:
    """Whether the system lets it."""
    try:
        action()
    except OSError:
        return False
    return True


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1)


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 1.0).close()


def _send(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x", ("127.0.0.1", port))


def main() -> None:
    """One line of JSON."""
    told = json.loads(sys.argv[1])
    found = {
        "user": os.getuid(),
        "reads": [path for path in told["secrets"] if can(partial(_read, path))],
        "writes": can(lambda: open(os.path.join(told["open"], "written"), "w").close()),
        "signals": can(lambda: os.kill(told["grader"], 0)),
        "connects": can(partial(_connect, told["port"])) or can(partial(_send, told["port"])),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
