"""`minivision train`: a run on a screen."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import kernels, train
from ..errors import about_settings
from ..train import folder
from ..train.config import RunConfig
from ..train.task import verdict
from .screen import Bar, Lines, console


def run(chosen: Namespace, kind: type[RunConfig] = train.Config) -> int:
    """Trains, or goes on training, and says what came of it and where it is. kind: whose settings these are."""
    out = chosen.out or Path("runs") / chosen.model
    asked = {each.name: value for each in fields(kind) if (value := getattr(chosen, each.name)) is not None}
    if chosen.threads is not None:
        with about_settings():
            kernels.set_num_threads(chosen.threads)
    screen = console()
    try:
        with Bar(screen) if screen.is_terminal else Lines() as watcher:
            found = train.resume(out, asked, watcher, kind) if chosen.resume else train.start(kind(**asked), out, watcher)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(goodbye(stop, out, chosen)) from None
    screen.print(summary(found, out), soft_wrap=True)
    return 0


def goodbye(stop: KeyboardInterrupt, out: Path, chosen: Namespace) -> str:
    """What Ctrl-C left, and the command that goes on with it, in one line."""
    if not (out / folder.STATE).exists():
        return "stopped before there was anything to save"
    threads = ["--threads", str(chosen.threads)] if chosen.threads else []
    command = shlex.join(["minivision", chosen.command, chosen.model, "--out", str(out), "--resume", *threads])
    kept = "and saved" if isinstance(stop, train.Interrupted) else "at once; the last epoch is saved"
    return f"stopped {kept}; to go on: {command}"


def summary(found: Mapping[str, Any], out: Path) -> str:
    """The figure that counts, and where the rest is."""
    cost = f"{found['epochs']} epochs in {found['seconds']:.1f} s ({found['images_per_second']:,.0f} images/s)"
    return f"{verdict(found)}, after {cost}\nopen {out / folder.REPORT}; weights and figures are beside it"
