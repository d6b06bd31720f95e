"""`minivision doctor`: what this machine gives."""

from __future__ import annotations

from argparse import Namespace

from rich.box import HEAVY
from rich.panel import Panel

from .. import doctor
from .screen import console, table


def run(chosen: Namespace) -> int:
    """Prints what is here, how fast it is, and in a box what to do where the kernels are missing."""
    screen, rows = console(), table("", "")
    for name, value in doctor.facts().items():
        rows.add_row(name, value)
    speed = doctor.measure()
    rows.add_row("matrix product", f"{speed.ours:,.0f} GFLOP/s at {speed.size} x {speed.size}, float32")
    if speed.peak is not None:
        rows.add_row("", f"{speed.ours / speed.peak:.0%} of the peak, {speed.peak:,.0f} GFLOP/s of multiply-adds on registers")
        rows.add_row("", f"{speed.ours / speed.numpy:.0%} of NumPy's {speed.numpy:,.0f} GFLOP/s")
    screen.print(rows)
    if advice := doctor.advice():
        screen.print(Panel(advice, title="THE C KERNELS ARE NOT BUILT", box=HEAVY, border_style="bold red", padding=(1, 2)))
    return 0
