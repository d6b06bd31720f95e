"""`minivision models`: the models by name, paper by paper."""

from __future__ import annotations

import inspect
import re
from argparse import Namespace
from itertools import groupby

from rich.console import Console

from ..errors import about_settings
from ..models import Entry, create_model, entry, list_models
from ..profile import count_parameters, profile
from .screen import brief, console, table


def run(chosen: Namespace) -> int:
    """Prints a table for each paper; an unknown name is answered with the closest ones."""
    names = list_models(chosen.pattern)
    if not names:
        with about_settings():
            names = [entry(chosen.pattern).name]
    found = sorted(map(entry, names), key=lambda each: each.build.__module__)
    screen = console()
    for _, entries in groupby(found, key=lambda each: each.build.__module__):
        _print_paper(screen, list(entries))
    return 0


def _print_paper(screen: Console, entries: list[Entry]) -> None:
    screen.print(paper(entries[0]), style="bold", soft_wrap=True)
    rows = table("name", "input", "parameters", "multiply-adds", numbers=2)
    for each in sorted(entries, key=lambda one: size(one)[0]):
        parameters, macs = size(each)
        rows.add_row(each.name, " x ".join(map(str, each.config.input_shape)), brief(parameters), brief(macs))
    screen.print(rows)
    screen.print()


def paper(model: Entry) -> str:
    """The title that its file begins with, and the arXiv number."""
    text = inspect.getdoc(inspect.getmodule(model.build)) or model.name
    number = re.search(r"arXiv (\d{4}\.\d{4,5})", text)
    return text.splitlines()[0].rstrip(".") + (f"  (arXiv {number.group(1)})" if number else "")


def size(model: Entry) -> tuple[int, int]:
    """Parameters and multiply-adds: as published, counted where nobody published them."""
    if model.params is not None and model.macs is not None:
        return model.params, model.macs
    built = create_model(model.name)
    return count_parameters(built), profile(built, model.config.input_shape).macs
