"""A student's process: whatever the file does, there is a verdict, it says what happened, and nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from compilers import needs_compiler

from minivision.classroom import check, cut_c, manifest, proxy, target
from minivision.classroom.check import Verdict
from minivision.classroom.failure import Died, Missing, Odd, Raised, Slow
from minivision.classroom.proxy import Worker

EXERCISE, IN_C = manifest.find("layer-norm-gradient"), manifest.find("matmul-loop-order")


def file(body: str, before: str = "") -> str:
    """A student's file whose function has this body."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"import numpy as np\n{before}\ndef _layer_norm_vjp(*args, **kwargs):\n{lines}"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(EXERCISE) as started:
        yield started


def called(worker: Worker, body: str, *args, before: str = "", **kwargs):
    worker.load(file(body, before))
    return worker.student(*args, **kwargs)


# ------------------------------------------------------------------------------------------------------------- the calls


def test_arguments_and_results_travel(worker):
    x = np.arange(6.0).reshape(2, 3)
    y, rest = called(worker, "args[0][0] = 7; return args[0], (args[1:], kwargs)", x, [1, None], a="b")
    assert y[0].tolist() == [7, 7, 7]
    assert x[0].tolist() == [0, 1, 2], "the function is given a copy"
    assert rest == (([1, None],), {"a": "b"})


def test_drivers_run_beside_the_function(worker):
    x = np.zeros(3)
    worker.load(file("args[0][...] += 1"))
    result, (written,) = worker.student.drive("in_place", x)
    assert result is None
    assert written.tolist() == [1, 1, 1]
    worker.load(file("yield from args"))
    assert worker.student.drive("as_list", 1, 2) == [1, 2]


def test_the_library_there_lacks_the_answer_however_it_is_asked(worker):
    kept = tuple(np.ones((1, 3)) for _ in range(4))
    for way in (
        "from minivision.ops.norm import _layer_norm_vjp as f; return f(*args)",
        "from minivision.ops.norm import layer_norm; return layer_norm.vjp(*args)",
        "from minivision.op import OPS; return OPS['layer_norm'].pull(args[0], args[1], (True,) * 3, {})",
        "import minivision as mv; x = mv.tensor(args[0], requires_grad=True); "
        "mv.functional.layer_norm(x, (3,)).sum().backward(); return x.grad",
    ):
        with pytest.raises(Raised, match="cut out here") as told:
            called(worker, way, kept[0], (*kept, True))
        assert not told.value.unwritten
    with pytest.raises(Raised, match="ImportError"):
        called(worker, "import minivision._kernels")


def test_what_is_printed_is_kept_apart_from_answers(worker):
    body = "import os, sys; print('one'); print('two', file=sys.stderr); os.write(1, b'three\\x1b[2J\\n'); return 5"
    assert called(worker, body) == 5
    assert sorted(worker.pipes.text().split()) == ["one", "three[2J", "two"]
    assert worker.pipes.text() == ""


def test_a_flood_of_output_is_cut_and_counted(worker):
    assert called(worker, "for _ in range(2000): print('x' * 1000)\nreturn 1") == 1
    text = worker.pipes.text()
    assert len(text) < 5000
    assert text.endswith(f"... and {2000 * 1001 - 4000:,} bytes more")


def test_large_answers_travel_in_both_directions(worker):
    x = np.random.default_rng(0).standard_normal(1 << 20)
    assert np.array_equal(called(worker, "return args[0] * 2", x), 2 * x)


# -------------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("raise NotImplementedError", "unwritten", "NotImplementedError"),
        ("raise ValueError('no')", "raised", "ValueError: no"),
        ("input()", "raised", "EOFError"),
        ("exit(0)", "raised", "SystemExit"),
        ("raise KeyboardInterrupt", "raised", "KeyboardInterrupt"),
        ("return args[0] +", "syntax", "SyntaxError"),
        ("\nx = 1\n  y = 2", "syntax", "IndentationError"),
        ("return _layer_norm_vjp(*args)", "raised", "RecursionError"),
        ("return object()", "odd", "cannot be compared"),
        ("x = []; x.append(x); return x", "odd", "cannot be compared"),
        ("return np.zeros((1 << 14, 1 << 14))", "odd", "cannot be compared"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "raised", "cannot be shown"),
    ],
)
def test_an_exception_is_told(worker, body, kind, words):
    with pytest.raises((Raised, Odd), match=words) as told:
        called(worker, body)
    assert told.value.kind == kind
    assert called(worker, "return 1") == 1, "and the process goes on"


def test_a_traceback_holds_the_students_lines_alone(worker):
    with pytest.raises(Raised) as told:
        called(worker, "return inner(args[0])", np.ones(3), before="def inner(x):\n    return np.dot(x, np.ones(4))\n")
    assert told.value.frames == [(6, "_layer_norm_vjp"), (3, "inner")]


def test_a_file_without_the_function_is_told(worker):
    with pytest.raises(Missing, match=r"no function _layer_norm_vjp in layer-norm-gradient\.py"):
        worker.load("def other(): pass\n")
    with pytest.raises(Missing):
        worker.load("_layer_norm_vjp = 3\n")


def stat(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has just ended
        return ""


def living(group: int) -> list[str]:
    """The processes of a group that are no zombies, which wait for whoever adopted them (Linux: no others are looked for)."""
    found = [text.rpartition(")")[2].split() for text in map(stat, Path("/proc").glob("[0-9]*/stat")) if text]
    return [state for state, _, owner, *_ in found if owner == str(group) and state != "Z"]


FATAL = [
    ("import os; os._exit(0)", Died, "exit status 0"),
    ("import os; os._exit(5)", Died, "exit status 5"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Died, "segmentation fault .SIGSEGV."),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Died, "SIGKILL"),
    ("import os; os.closerange(3, 64); import time; time.sleep(100)", Died, "ended|crashed"),
    ("while True: pass", Slow, "no answer within 0.5 s"),
    ("while True: print('x' * 1000)", Slow, "no answer"),
    ("import time; time.sleep(100)", Slow, "no answer"),
    ("import os\nif os.fork():\n    os._exit(0)\nimport time; time.sleep(100)", Died, "exit status 0"),
]


@pytest.mark.parametrize(("body", "kind", "words"), FATAL, ids=[body[:40] for body, _, _ in FATAL])
def test_an_end_is_told_and_leaves_nothing_behind(body, kind, words):
    start = time.monotonic()
    with Worker(EXERCISE, seconds=0.5) as worker:
        folder, group = Path(worker._folder.name), worker.process.pid
        with pytest.raises(kind, match=words):
            called(worker, body)
    assert time.monotonic() - start < 20
    assert not folder.exists()
    while living(group) and time.monotonic() - start < 20:
        time.sleep(0.05)
    assert not living(group)


def test_bytes_that_are_no_answer_are_told():
    with Worker(EXERCISE) as worker:
        body = "import os\nfor end in range(3, 64):\n    try: os.write(end, b'\\xff' * 100)\n    except OSError: pass"
        with pytest.raises((Odd, Died)):
            called(worker, body)


def test_an_argument_that_is_not_read_does_not_hang():
    with Worker(EXERCISE, seconds=0.5) as worker:
        worker.load("import threading, time\ndef _layer_norm_vjp(x): time.sleep(100)\n")
        with pytest.raises(Slow):
            worker.student(np.zeros(1 << 20))
        with pytest.raises(Slow):  # it fills the pipe now
            worker.student(np.zeros(1 << 20))


def test_time_is_a_budget_for_all_answers_together():
    with Worker(EXERCISE, seconds=1.0) as worker:
        worker.load(file("import time; time.sleep(0.6)"))
        worker.student()
        with pytest.raises(Slow):
            worker.student()


def test_a_library_that_cannot_be_imported_is_nobodys_wrong_answer(monkeypatch):
    told = proxy.setup(EXERCISE) | {"cut": {"minivision.op": "1 +"}}
    monkeypatch.setattr(proxy, "setup", lambda exercise: told)
    with pytest.raises(RuntimeError, match="cannot be started here"), Worker(EXERCISE):
        pass


def test_an_answer_of_another_form_is_told_as_such():
    for body, words in [
        ("return None", "another form"),
        ("return 5", "another form"),
        ("return args[0], args[0], 'x'", "not right"),
    ]:
        verdict = check.run(EXERCISE, file(body))
        assert not verdict.passed
        assert words in verdict.failure.headline


# --------------------------------------------------------------------------------------------------------------------- C


def verdict_in_c(body: str, seconds: float = 10.0) -> Verdict:
    found = cut_c.piece(IN_C.target)
    first, end = found.span
    return check.run(IN_C, f"{found.text[:first]}\n{body}\n{found.text[end:]}", seconds)


LOOPS = """memset(c, 0, (size_t)(m * n) * sizeof(float));
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < n; j++)
                c[i * n + j] += a[i * k + p] * b[p * n + j];"""
C_CASES = [
    ("c[0] = 1", "compiler", "expected ';'"),
    ('#include "gemm_1_naive.c"', "compiler", "No such file|file not found"),
    (f"{LOOPS} c[m * n] = 0;", "outside", "after its result"),
    (f"{LOOPS} c[-1] = 0;", "outside", "before its result"),
    ("c[(int64_t)1 << 40] = 0;", "died", "SIGSEGV"),
    ("for (volatile int i = 1; i;) ;", "slow", "no answer within 1 s"),
    ("extern void abort(void); abort();", "died", "SIGABRT"),
    ("/* nothing */", "unwritten", "nothing"),
    ("(void)m;", "mismatch", "C for A"),
]


@needs_compiler
@pytest.mark.parametrize(("body", "kind", "words"), C_CASES, ids=[kind for _, kind, _ in C_CASES])
def test_what_goes_wrong_in_c_is_told(body, kind, words):
    verdict = verdict_in_c(body, seconds=1.0 if kind == "slow" else 10.0)
    assert verdict.kind == kind
    told = "\n".join([verdict.failure.headline, *(text for _, text in verdict.failure.lines)])
    assert any(word in told for word in words.split("|"))


@needs_compiler
def test_what_was_never_written_is_explained():
    assert ("got", "nan") in verdict_in_c("(void)m;").failure.lines
    assert any("nothing was written" in text for _, text in verdict_in_c("(void)m;").failure.lines)


@needs_compiler
def test_warnings_are_shown_and_do_not_fail():
    verdict = verdict_in_c(f"int wide = n; (void)wide; {LOOPS}")
    assert verdict.passed
    assert "warning" in verdict.warnings


@needs_compiler
def test_a_c_file_without_the_function_is_told():
    assert check.run(IN_C, "int other(void) { return 0; }\n").kind == "missing"


def test_no_compiler_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = check.run(IN_C, target.answer(IN_C))
    assert verdict.kind == "compiler"
    assert "no C compiler" in str(verdict.failure)
