"""For who teaches: submissions graded in a sandbox, and the files of an assignment.

sandbox       where a submission runs                       launcher, ending, linux, probe   what happens there
places        what it may see                               library     its copy of the library
submissions   reads what was handed in                      grade       grades it
reports       results.json, JUnit XML, a table              bundle      what Gradescope and the students are given
"""

from __future__ import annotations

from .bundle import run_bundle
from .grade import run_grade

__all__ = ["run_bundle", "run_grade"]
