"""The site: lessons that run, API pages, the claims, the papers. `make docs` builds it into tutorials/_build/html."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
LESSONS = HERE / "lessons"  # generated: pages, notebooks, pictures, records
os.environ["MPLBACKEND"] = "Agg"
os.environ.pop("MINIVISION_QUICK", None)  # the site shows whole runs

for made in LESSONS.glob("[0-9][0-9]_*"):  # of a lesson that is no longer there
    if not (HERE / f"{made.name.partition('.')[0]}.py").exists():
        made.unlink()

import minivision as mv  # noqa: E402  after the environment is set

project = "minivision"
author = "the minivision developers"
version = release = mv.__version__
html_title = "minivision"

extensions = ["sphinx_gallery.gen_gallery", "formulas", "lesson_pages", "claims", "papers", "api", "example"]
exclude_patterns = ["_build", "GALLERY_HEADER.rst", "lessons/*.ipynb", "lessons/*.py", "lessons/sg_execution_times.rst"]
default_role = "literal"
nitpicky = True
python_use_unqualified_type_names = True
suppress_warnings = ["sphinx_gallery.duplicate_filename"]  # the copies that it makes itself, in lessons/
toc_object_entries_show_parents = "hide"
smartquotes = False  # code in docstrings keeps its quotes

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "papers": [], "claims": [], "teachers": []}
html_context = {"default_mode": "auto"}  # light or dark as the reader's system has it
html_math_renderer = "mathml"
html_theme_options = {
    "logo": {"text": "minivision"},
    "navigation_with_keys": False,
    "show_prev_next": True,
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
project_copyright = f"{author}, MIT licence"


sphinx_gallery_conf = {
    "examples_dirs": ".",
    "gallery_dirs": "lessons",
    "filename_pattern": r"[\\/]\d\d_",
    "ignore_pattern": rf"conf\.py|{re.escape(str(LESSONS))}",
    "copyfile_regex": r"(?!)",  # tutorials/index.rst is the front page, not the list of lessons
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "abort_on_example_error": False,  # the others still run; -W makes the failure count
    "only_warn_on_example_error": False,
    "capture_repr": (),
    "download_all_examples": False,
    "min_reported_time": 0,
    "show_memory": False,
    "show_signature": False,
    "plot_gallery": "True",
    "reset_modules": ("matplotlib", "fresh.start"),
    "reset_modules_order": "before",
    "write_computation_times": False,
}
