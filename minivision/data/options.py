"""What may follow the question mark of a spec, such as shapes?size=48&objects=3."""

from __future__ import annotations

from collections.abc import Mapping

from .files import data_error


def whole_numbers(name: str, options: str, known: Mapping[str, tuple[int, int, int]]) -> dict[str, int]:
    """The chosen values, the usual ones for the rest; known: (least, most, usual) of each. DataError for any other option."""
    chosen = {option: usual for option, (_, _, usual) in known.items()}
    for part in filter(None, options.split("&")):
        option, _, value = part.partition("=")
        least, most, _ = known.get(option, (0, -1, 0))
        if not (value.isascii() and value.isdigit() and len(value) < 7 and least <= int(value) <= most):
            allowed = "; ".join(f"{each}=N, N from {least} to {most}" for each, (least, most, _) in known.items())
            raise data_error(f"{name} has no option {part!r}", expected=allowed)
        chosen[option] = int(value)
    return chosen
