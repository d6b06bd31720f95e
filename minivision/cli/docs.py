"""`minivision docs`: the site of lessons, papers and every public name, in the browser."""

from __future__ import annotations

import webbrowser
from argparse import Namespace
from pathlib import Path

from ..errors import SettingError

SITE = Path(__file__).parents[2] / "tutorials/_build/html/index.html"


def run(chosen: Namespace) -> int:
    """Opens the built site and prints where it is; SettingError says how to build it where it is not there."""
    index = SITE if chosen.site is None else chosen.site / "index.html"
    if not index.is_file():
        raise SettingError(f"no site is built at {index}\n  hint: {_advice(index)}")
    print(index)
    webbrowser.open(index.resolve().as_uri())
    return 0


def _advice(index: Path) -> str:
    """What to do in a clone, and without one."""
    if (SITE.parents[2] / "conf.py").is_file():
        return 'in the folder of the clone: pip install -e ".[docs]" && make docs'
    return 'the lessons come with a clone of the repository: there, pip install -e ".[docs]" && make docs, then --site DIR'
