"""The hole in the source, and the manifests that say where it is."""

from __future__ import annotations

import json

import pytest

from minivision.classroom import cut, cut_c, manifest, target
from minivision.errors import SettingError

MODULE = '''
"""A module."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ShapeError
from . import softmax as other

if TYPE_CHECKING:
    from ..tape import Tensor

SIZE: int = 3
FIRST, SECOND = 1, 2


def helper(x):
    return x


@helper
def target(x: Tensor, size=SIZE, *, math_=0):
    """y = x

    More.
    """
    # a comment that tells how

    y = helper(x) + FIRST  # and one here
    SECOND = 4
    if y.ndim == SECOND:
        raise ShapeError("é", other, "", "")
    return y  # last


def one_line(x): return np.exp(x)


def bare(x):
    def inner():
        return x
    return inner()


class Layer:
    """A layer."""

    @property
    def size(self):
        """The size.

            indented
        """
        return self.n

    def forward(self, x):
        """y"""
        return math.sqrt(x)
'''


def piece(name: str) -> cut.Piece:
    return cut.Piece(cut.ROOT / "minivision/ops/module.py", "minivision.ops.module", name, MODULE)


# ---------------------------------------------------------------------------------------------------- the hole, Python


def test_the_hole_keeps_decorator_signature_and_docstring_and_nothing_of_the_body():
    stub = piece("target").stub()
    head = '@helper\ndef target(x: Tensor, size=SIZE, *, math_=0):\n    """y = x\n\n    More.\n    """\n'
    assert stub.endswith(f"\n\n\n{head}    raise NotImplementedError\n")
    assert "comment" not in stub
    assert "last" not in stub


def test_the_student_gets_the_names_that_the_function_uses_from_where_the_module_has_them():
    assert piece("target").imports().splitlines() == [
        "from __future__ import annotations",
        "",
        "import numpy as np",
        "",
        "from minivision.errors import ShapeError",
        "from minivision.ops import softmax as other",
        "from minivision.tape import Tensor",
        "from minivision.ops.module import SIZE, FIRST, helper",
    ]  # not math, and not SECOND, which is a name of the function's own
    assert "import math" in piece("Layer.forward").imports()


@pytest.mark.parametrize("name", ["target", "one_line", "bare", "Layer.size", "Layer.forward"])
def test_the_rest_of_the_module_stays_to_the_letter(name):
    found = piece(name)
    first, end = found.span
    holed = found.holed().splitlines(keepends=True)
    before, after = found.lines[:first], found.lines[end:]
    assert holed[: len(before)] == before
    assert holed[len(holed) - len(after) :] == after
    compile(found.holed(), "module", "exec")
    assert found.holed().count("cut out here") == 1


def test_short_functions_and_functions_without_docstrings_are_cut_as_well():
    assert piece("one_line").stub().endswith("\n\n\ndef one_line(x): raise NotImplementedError\n")
    assert piece("bare").stub().endswith("\n\n\ndef bare(x):\n    raise NotImplementedError\n")


def test_a_method_is_written_as_a_function():
    assert piece("Layer.forward").stub().endswith('\n\n\ndef forward(self, x):\n    """y"""\n    raise NotImplementedError\n')
    assert piece("Layer.size").function.startswith("def size(self):\n    ")
    with pytest.raises(LookupError, match=r"module\.py has no Layer\.backward"):
        _ = piece("Layer.backward").node


def test_an_edit_must_fit_exactly_once():
    assert "np.log(x)" in piece("one_line").answer("np.exp", "np.log")
    for old in ("np.sin", "x"):
        with pytest.raises(ValueError, match="exactly once"):
            piece("one_line").answer(old, "y")


def test_a_live_stub_and_a_live_answer_are_what_the_library_has():
    exercise = manifest.find("layer-norm-gradient")
    with open(cut.ROOT / exercise.path, encoding="utf-8") as file:
        live = file.read()
    answer = target.answer(exercise)
    assert answer[answer.index("def _layer_norm_vjp") :] in live
    assert f"minivision exercise check {exercise.id}" in target.stub(exercise)
    assert target.formula(exercise) in target.stub(exercise)


# --------------------------------------------------------------------------------------------------------- the hole, C

SOURCE = """/* Step 9: the idea.
 *
 * More. */
#include "steps.h"

static float at(const float *x); /* at { here */

/* why */
static float at(const float *x)
{
    return x[0]; /* } */
}

void gemm(int64_t m,
          float *c)
{
    const char *text = "}{\\"";
    for (;;) {
        c[0] = at(c); // {
    }
}

void other(void) { gemm(1, 0); }
"""


def test_a_body_in_c_is_found_whatever_stands_in_comments_and_strings():
    first, end = cut_c.body(SOURCE, "gemm")
    assert SOURCE[first:end].startswith("\n    const char")
    assert SOURCE[end:].startswith("}\n\nvoid other")
    first, end = cut_c.body(SOURCE, "at")
    assert SOURCE[first:end] == "\n    return x[0]; /* } */\n"
    with pytest.raises(LookupError):
        cut_c.body(SOURCE, "mm")


def test_the_hole_in_c_keeps_everything_else():
    found = cut_c.Piece(cut_c.csrc() / "steps" / "gemm_9_idea.c", "gemm", SOURCE)
    first, end = found.span
    assert found.stub() == SOURCE[:first] + "\n" + cut_c.STUB + SOURCE[end:]
    assert not cut_c.written(found.stub(), "gemm")
    assert cut_c.written(SOURCE, "gemm")
    assert found.docstring.splitlines()[0] == "Step 9: the idea."
    assert list(found.includes()) == ["steps.h"]


# ----------------------------------------------------------------------------------------------------------- manifests


def entry(**changes) -> str:
    fields = {
        "id": "a-b", "title": "t", "level": "easy", "points": 1, "target": "minivision/op.py:op", "check": "a:b",
        "hints": ["h"], "wrong": [],
    } | changes  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items() if value is not None]
    return "\n".join(["[[exercise]]", *lines])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (entry(hints=None), "99_x.toml, a-b: hints missing"),
        (entry(colour="red"), "99_x.toml, a-b: unknown colour"),
        (entry(points=3), "level and points"),
        (entry(level="simple"), "level and points"),
        ("[exercises]", "only"),
    ],
)
def test_a_manifest_with_a_mistake_says_where(text, words, tmp_path):
    path = tmp_path / "99_x.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        manifest.read(path)


def test_a_manifest_is_read(tmp_path):
    path = tmp_path / "99_x.toml"
    path.write_text(entry() + "\n" + entry(id="c", target="csrc/steps/gemm_1_naive.c:gemm"))
    first, second = manifest.read(path)
    assert (first.lesson, first.path, first.name, first.file) == ("99_x", "minivision/op.py", "op", "a-b.py")
    assert second.is_c
    assert second.file == "c.c"


@pytest.mark.parametrize("name", ["layer-norm-gradient", "layer-norm-gradient.py", "./layer-norm-gradient.py"])
def test_an_exercise_is_found_by_id_and_by_file(name):
    assert manifest.find(name).id == "layer-norm-gradient"


def test_an_unknown_exercise_is_answered_with_the_closest():
    with pytest.raises(SettingError, match="did you mean layer-norm-gradient"):
        manifest.find("layernorm-gradient")
    with pytest.raises(SettingError, match="exercise list"):
        manifest.find("zzz")
