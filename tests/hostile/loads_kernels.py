"""Takes away what hides the compiled kernels, and loads them."""  # must: raised

import importlib.util
import sys
from pathlib import Path

sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "Library"]
found = [
    *Path("@LIBRARY@/minivision").glob("_kernels*.so"),
    *Path(sys.modules["minivision"].__file__).parent.glob("_kernels*.so"),
]
specification = importlib.util.spec_from_file_location("minivision._kernels", found[0])
kernels = importlib.util.module_from_spec(specification)
specification.loader.exec_module(kernels)
