"""`.. example::` runs its code while the site is built, and shows what it printed: output is never typed."""

from __future__ import annotations

import contextlib
import io

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Example(SphinxDirective):
    """Python code, and below it its output."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Two literal blocks; an exception in the code ends the build."""
        self.env.note_reread()  # the library may have changed
        code, printed = "\n".join(self.content), io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, self.env.docname, "exec"), {"__name__": "example"})
        output = nodes.literal_block(printed.getvalue(), printed.getvalue().rstrip(), language="none", classes=["printed"])
        return [nodes.literal_block(code, code, language="python"), output]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("example", Example)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
