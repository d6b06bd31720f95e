"""The built site in a real browser: python tests/hard/site.py [folder of the site] [--shots folder]

Every page at 1280 and 390 pixels, light and dark: no complaint on the console, no request that leaves the machine, nothing
wider than the window, formulas set as MathML, a text for every picture, letters that stand out from what is behind them.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import Page, browser

ROOT = Path(__file__).parents[2]
LOOKS = [(width, dark) for width in (1280, 390) for dark in (False, True)]

WIDER = "document.scrollingElement.scrollWidth - window.innerWidth"
WIDEST = """[...document.querySelectorAll('body *')].filter(e => {
  for (let up = e.parentElement; up && up !== document.body; up = up.parentElement)
    if (getComputedStyle(up).overflowX !== 'visible') return false;
  return e.getBoundingClientRect().right > window.innerWidth + 1;
}).slice(0, 3).map(e => e.tagName + '.' + e.className)"""
RAW = r"""[...document.querySelectorAll('.math')].filter(e => !e.querySelector('math') || /\\[a-z]/.test(e.textContent)
  || e.querySelector('math').getBoundingClientRect().width < 2).map(e => e.textContent.slice(0, 60))"""
SILENT = "[...document.images].filter(e => !e.alt.trim() || !e.naturalWidth && e.complete).map(e => e.src)"
FAINT = (Path(__file__).parent / "faint.js").read_text(encoding="utf-8")
CUT = """[...document.querySelectorAll('.paper-map a')].filter(e => e.checkVisibility()
  && e.querySelector('text').getBBox().width > e.querySelector('rect').getBBox().width - 10).map(e => e.textContent)"""
THEME = "document.documentElement.dataset.theme"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which this machine alone can read a folder."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def faults(page: Page, home: str, dark: bool) -> Iterator[str]:
    """What is wrong with the page that is open."""
    yield from page.complaints()
    yield from (f"asks for {url}" for url in page.asked_for() if not url.startswith((home, "data:")))
    if (by := page.evaluate(WIDER)) > 0:
        yield f"{by} pixels wider than the window: {page.evaluate(WIDEST)}"
    yield from (f"formula not set: {text}" for text in page.evaluate(RAW))
    yield from (f"picture without text, or missing: {source}" for source in page.evaluate(SILENT))
    if faint := page.evaluate(FAINT):
        yield f"{len(faint)} texts of too little contrast: {'; '.join(dict.fromkeys(faint[:4]))}"
    yield from (f"does not fit its box: {text}" for text in page.evaluate(CUT))
    if (theme := page.evaluate(THEME)) != ("dark" if dark else "light"):
        yield f"shown in the theme {theme}"


def main() -> int:
    """0 where every page is right at every width in both themes."""
    options = argparse.ArgumentParser(description="Looks at every page of the built site in Chromium.")
    options.add_argument("site", nargs="?", type=Path, default=ROOT / "tutorials/_build/html")
    options.add_argument("--shots", type=Path, help="write a picture of each page here")
    options.add_argument("--only", default="", help="pages whose path has this in it")
    chosen, bad, formulas = options.parse_args(), 0, 0
    every = [path for path in chosen.site.rglob("*.html") if path.relative_to(chosen.site).parts[0] != "_static"]
    pages = sorted(path for path in every if chosen.only in str(path.relative_to(chosen.site)))
    if not pages:
        sys.exit(f"no pages in {chosen.site}; build them with `make docs`")
    with served(chosen.site) as home, browser() as page:
        for path, (width, dark) in ((path, look) for path in pages for look in LOOKS):
            name = path.relative_to(chosen.site).as_posix()
            page.open(home + name, width, dark)
            for fault in faults(page, home, dark):
                print(f"{name} at {width}, {'dark' if dark else 'light'}: {fault}", flush=True)
                bad += 1
            formulas += page.evaluate("document.querySelectorAll('math').length") if (width, dark) == LOOKS[0] else 0
            if chosen.shots:
                chosen.shots.mkdir(parents=True, exist_ok=True)
                page.picture(chosen.shots / f"{name.replace('/', '-')}-{width}-{'dark' if dark else 'light'}.png")
    print(f"{len(pages)} pages, {len(LOOKS)} looks each, {formulas} formulas: {bad} faults")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
