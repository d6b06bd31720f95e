"""Builds the C kernels where there is a compiler; installs without them, and says so, where there is none."""

import contextlib
import copy
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent / "csrc"))
import build_kernels

NO_KERNELS = """
******************************************************************************************
  minivision: THE C KERNELS WERE NOT BUILT. Everything works and gives the same numbers
  in NumPy, but training is many times slower.
  Why: {reason}
  To get them: install a C compiler (Debian: apt-get install gcc; macOS: xcode-select
  --install) and install minivision again. `minivision doctor` shows the state.
******************************************************************************************
"""


def warn_loudly(text: str) -> None:
    """To stderr, and to the terminal itself: pip hides what a successful build prints."""
    print(text, file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):  # no terminal: the first import of a kernel warns again
        Path("/dev/tty").write_text(text)


class BuildKernels(build_ext):
    """build_ext with one set of flags for each instruction set and OpenMP where it links."""

    def build_extension(self, placeholder):
        try:
            generated = Path(self.build_temp).resolve() / "generated"
            real = build_kernels.make_ffi(generated, flags=self._openmp()).distutils_extension(str(generated), verbose=False)
            extension = copy.copy(placeholder)
            extension.__dict__.update(real.__dict__, py_limited_api=True, define_macros=[("Py_LIMITED_API", "0x030A0000")])
            build_kernels.add_isa_flags(self.compiler)
            build_kernels.compile_side_by_side(self.compiler)
            super().build_extension(extension)
        except Exception as error:  # whatever a broken tool chain raises, the NumPy path still works
            warn_loudly(NO_KERNELS.format(reason=str(error).strip() or type(error).__name__))

    def _openmp(self):
        """["-fopenmp"] if a program that needs it compiles and links."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
            compiler = self.compiler.compiler_so[0]
            probe = [compiler, "-fopenmp", str(source), "-o", str(Path(folder) / "probe")]
            return ["-fopenmp"] if subprocess.run(probe, capture_output=True).returncode == 0 else []


class WithSteps(build_py):
    """Puts the teaching ladder and its compiler's flags into the package: exercises in C are cut from it (classroom/cut_c.py)."""

    def run(self):
        super().run()
        if self.editable_mode:  # the source tree is there
            return
        csrc = Path(build_kernels.HERE)
        for source in [csrc / "build_kernels.py", *csrc.glob("steps/*.[ch]"), *csrc.glob("steps/*.py")]:
            target = Path(self.build_lib) / "minivision" / "_csrc" / source.relative_to(csrc)
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))


class LimitedWheel(bdist_wheel):
    """The kernels use Python's limited API: one wheel serves every CPython from 3.10 on."""

    def finalize_options(self):
        self.py_limited_api = "cp310"
        super().finalize_options()


setup(
    ext_modules=[Extension("minivision._kernels", sources=[], optional=True, py_limited_api=True)],
    cmdclass={"build_py": WithSteps, "build_ext": BuildKernels, "bdist_wheel": LimitedWheel},
)
