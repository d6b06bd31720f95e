"""One message to a child process and one back, by a deadline, while what it prints is taken away and bounded."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from typing import Any

from .wire import LENGTHS, sizes

CHUNK, GLANCE = 1 << 16, 0.5  # bytes read at once; seconds between two looks at whether the process still lives
MOST_OUTPUT = 4000  # bytes of what is printed that are kept


class Pipes:
    """The parent's ends: messages out and in, and what the child prints."""

    def __init__(self, send: int, receive: int, prints: int) -> None:
        self.send, self.receive, self.prints = send, receive, prints
        self.printed, self.dropped = bytearray(), 0
        for end in (send, receive, prints):
            os.set_blocking(end, False)

    def exchange(self, message: bytes, deadline: float, alive: Callable[[], bool]) -> tuple[bytes, bytearray]:
        """The header and the body of the answer; TimeoutError at the deadline, EOFError if the child has ended."""
        out, back, wanted = memoryview(message), bytearray(), LENGTHS.size
        header = body = -1
        with selectors.DefaultSelector() as selector:
            for end, event in (
                (self.send, selectors.EVENT_WRITE),
                *((e, selectors.EVENT_READ) for e in (self.receive, self.prints)),
            ):
                selector.register(end, event)
            while len(back) < wanted:
                lived = alive()
                left = deadline - time.monotonic()
                ready = {key.fd for key, _ in selector.select(max(0.0, min(left, GLANCE)))}
                if not ready and not lived:
                    raise EOFError
                if left <= 0:
                    raise TimeoutError
                if self.send in ready:
                    out = self._written(out, selector)
                if self.prints in ready and not self._drained():
                    selector.unregister(self.prints)
                if self.receive in ready:
                    self._read(back, wanted)
                if header < 0 and len(back) == wanted:
                    header, body = sizes(*LENGTHS.unpack(back))
                    wanted += header + body
        self._drained()
        return bytes(back[LENGTHS.size : wanted - body]), back[wanted - body :]

    def _written(self, out: memoryview, selector: Any) -> memoryview:
        """What remains to be sent after a piece of it."""
        try:
            out = out[os.write(self.send, out[:CHUNK]) :]
        except BrokenPipeError:
            raise EOFError from None
        if not out:
            selector.unregister(self.send)
        return out

    def _read(self, back: bytearray, wanted: int) -> None:
        """Takes in what is there of the answer."""
        piece = os.read(self.receive, min(CHUNK, wanted - len(back)))
        if not piece:
            raise EOFError
        back += piece

    def _drained(self) -> bool:
        """Takes what was printed, keeps its beginning; False at its end."""
        try:
            piece = os.read(self.prints, CHUNK)
        except BlockingIOError:
            return True
        kept = piece[: MOST_OUTPUT - len(self.printed)]
        self.printed += kept
        self.dropped += len(piece) - len(kept)
        return bool(piece)

    def close(self) -> None:
        """Closes the ends for messages; the other belongs to the process."""
        os.close(self.send)
        os.close(self.receive)

    def text(self) -> str:
        """What was printed since the last time, without what moves a terminal's cursor."""
        self._drained()
        told = "".join(c for c in self.printed.decode(errors="replace") if c.isprintable() or c in "\n\t")
        told += f"\n... and {self.dropped:,} bytes more" if self.dropped else ""
        self.printed, self.dropped = bytearray(), 0
        return told.rstrip()
