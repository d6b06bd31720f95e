"""The command line: `minivision train`, `pretrain`, `probe`, `models` and the others that parser.py describes."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

from ..errors import CheckpointError, DataError, DtypeError, GraphError, SettingError, ShapeError, TrainingError
from .parser import make_parser

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
EXPECTED = (SettingError, ShapeError, DtypeError, GraphError, CheckpointError, DataError, TrainingError, OSError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0: done, 1: a check failed, 2: bad input, in one message without a traceback, 130: Ctrl-C."""
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help(sys.stderr)
        return BAD_INPUT
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character gets a question mark
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return importlib.import_module(f".{chosen.command.replace('-', '_')}", __package__).run(chosen)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except EXPECTED as error:
        print(f"minivision {chosen.command}: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as stop:
        print(f"\n{stop}".rstrip(), file=sys.stderr)
        return INTERRUPTED
