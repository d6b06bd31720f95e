"""Builds minivision._kernels: expands api.h.in, compiles each instruction set with its own flags, through cffi's API mode.

Used by setup.py for the package and by the tests for builds with small blocks, sanitizers or a planted fault.
"""

from __future__ import annotations

import os
import platform
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cffi import FFI

HERE = Path(__file__).resolve().parent
TYPES = {"f32": "float", "f64": "double"}
CONTROL = """
int mv_select_isa(const char *isa); /* 1 if this processor has it and it is now in use */
int mv_has_openmp(void);
void mv_keep_memory(void); /* freed arrays stay in this process */
"""
COMMON_FLAGS = ["-O3", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math"]
ISA_FLAGS = {
    "isa_avx2": ["-mavx2", "-mfma"],
    "isa_avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
}
ISA_FILES = {
    "x86_64": ["isa_avx512", "isa_avx2"],
    "amd64": ["isa_avx512", "isa_avx2"],
    "aarch64": ["isa_neon"],
    "arm64": ["isa_neon"],
}


def prototypes() -> list[tuple[str, str, str]]:
    """(return type, name, parameters) of every kernel, for float then double."""
    text = re.sub(r"/\*.*?\*/", "", (HERE / "api.h.in").read_text(), flags=re.S)
    found = []
    for suffix, ctype in TYPES.items():
        for result, name, parameters in re.findall(r"(\w+) (\w+)_T\(([^)]*)\);", text):
            parameters = re.sub(r"\bT\b", ctype, " ".join(parameters.split()))
            found.append((result, f"{name}_{suffix}", parameters))
    return found


def cdef() -> str:
    """What cffi is told: the wrappers and the two control functions."""
    return "".join(f"{result} mv_{name}({parameters});\n" for result, name, parameters in prototypes()) + CONTROL


def write_headers(folder: Path) -> None:
    """api.h (the table's type and the wrappers' prototypes) and wrappers.inc.c (each wrapper calls through the table)."""
    members = "".join(f"    {result} (*{name})({parameters});\n" for result, name, parameters in prototypes())
    entries = ", ".join(f".{name} = {name}" for _, name, _ in prototypes())
    floats = " ".join(f"(table).{name} = {name};" for _, name, _ in prototypes() if name.endswith("_f32"))
    guard = "#ifndef MV_API_H\n#define MV_API_H\n#include <stdint.h>\n"
    header = f"{guard}struct mv_kernels {{\n{members}}};\n#define MV_TABLE {entries}\n"
    header += f"#define MV_SET_F32(table) {floats}\n{cdef()}#endif\n"
    wrappers = ""
    for result, name, parameters in prototypes():
        arguments = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
        wrappers += f"{result} mv_{name}({parameters}) {{ {'' if result == 'void' else 'return '}table->{name}({arguments}); }}\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"api.h": header, "wrappers.inc.c": wrappers}.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)


def sources(base_only: bool = False) -> list[str]:
    """The C files of this processor's family."""
    return ["dispatch", "isa_base", *([] if base_only else ISA_FILES.get(platform.machine().lower(), []))]


def make_ffi(
    generated: Path,
    module: str = "minivision._kernels",
    flags: list[str] | None = None,
    source_dir: Path = HERE,
    base_only: bool = False,
) -> FFI:
    """The cffi builder of the kernels; headers are written into `generated`, extra compiler flags go to every file.

    base_only: without the instruction sets above the base, for test builds.
    """
    flags = [*(flags or []), *(["-DMV_BASE_ONLY"] if base_only else [])]
    write_headers(generated)
    ffi = FFI()
    ffi.cdef(cdef())
    ffi.set_source(
        module,
        '#include "api.h"',
        sources=[str(source_dir / f"{name}.c") for name in sources(base_only)],
        include_dirs=[str(source_dir), str(generated)],
        extra_compile_args=[*COMMON_FLAGS, *flags],
        extra_link_args=[flag for flag in flags if flag.startswith("-f")],
        py_limited_api=True,
    )
    return ffi


def add_isa_flags(compiler: Any) -> None:
    """Makes a distutils compiler give each isa_*.c the flags of its instruction set."""
    compile_one = compiler._compile

    def compile_with_isa(obj: str, src: str, ext: str, cc_args: Any, extra_postargs: list[str], pp_opts: Any) -> None:
        compile_one(obj, src, ext, cc_args, [*extra_postargs, *ISA_FLAGS.get(Path(src).stem, [])], pp_opts)

    compiler._compile = compile_with_isa


def compile_side_by_side(compiler: Any) -> None:
    """Makes a distutils compiler translate the files of one extension at once, on all processors."""
    compile_all = compiler.compile

    def compile_each(sources: list[str], *args: Any, **kwargs: Any) -> list[str]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [name for names in pool.map(lambda source: compile_all([source], *args, **kwargs), sources) for name in names]

    compiler.compile = compile_each
