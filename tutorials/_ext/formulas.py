"""Formulas as MathML, made while the site is built: browsers set it themselves, so no page needs a script or a network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

LOG = logging.getLogger(__name__)


def mathml(source: str, display: bool = False) -> str:
    r"""The MathML of a LaTeX formula; several lines or alignment marks are set as in aligned."""
    if display and (r"\\" in source or "&" in source) and r"\begin" not in source:
        source = rf"\begin{{aligned}}{source}\end{{aligned}}"
    return convert(source, display="block" if display else "inline")


def _render(node: nodes.Element, display: bool) -> str:
    made = mathml(node.astext(), display)
    if unknown := [part for part in made.split(">") if part.startswith("\\")]:
        LOG.warning("no MathML for %s in %r", unknown, node.astext(), location=node)
    return made


def inline(writer: Any, node: nodes.Element) -> None:
    """Visits a :math: role."""
    writer.body.append(f'<span class="math">{_render(node, False)}</span>')
    raise nodes.SkipNode


def block(writer: Any, node: nodes.Element) -> None:
    """Visits a math directive; a long formula scrolls within its own box."""
    writer.body.append(f'<div class="math" tabindex="0" role="group">{_render(node, True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer that conf.py names."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
