"""`minivision train`: a run on a screen."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import kernels, train
from ..errors import SettingError, about_settings
from ..train import folder
from ..train.config import RunConfig
from ..train.task import verdict
from ..train.texts import is_writer
from .screen import Bar, Lines, console


def run(chosen: Namespace, kind: type[RunConfig] | None = None) -> int:
    """Trains, or goes on training, and says what came of it and where it is. kind: whose settings these are."""
    out = chosen.out or Path("runs") / chosen.model
    kind = kind or kind_of(chosen.model)
    asked = settings(chosen, kind)
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


def kind_of(model: str) -> type[RunConfig]:
    """The settings of a run of `train`: of a language model, or of one for images."""
    with about_settings():
        return train.TextConfig if is_writer(model) else train.Config


def settings(chosen: Namespace, kind: type[RunConfig]) -> dict[str, Any]:
    """What was asked for. SettingError for a setting that a run of this kind does not have."""
    own = {each.name for each in fields(kind)}
    others = {each.name for other in (train.Config, train.TextConfig) for each in fields(other)} - own
    strangers = [f"--{name.replace('_', '-')}" for name in sorted(others) if getattr(chosen, name, None) is not None]
    if strangers:
        what = "a language model" if kind is train.TextConfig else "a model of images"
        raise SettingError(f"{chosen.model} is {what}, for which {', '.join(strangers)} means nothing: leave it out")
    return {name: value for name in own if (value := getattr(chosen, name)) is not None}


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
    unit = "tokens" if "tokens_per_second" in found else "images"
    cost = f"{found['epochs']} epochs in {found['seconds']:.1f} s ({found[f'{unit}_per_second']:,.0f} {unit}/s)"
    return f"{verdict(found)}, after {cost}\nopen {out / folder.REPORT}; weights and figures are beside it"
