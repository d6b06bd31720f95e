"""Takes the library's own function from the file that it is in."""  # must: raised

from pathlib import Path

import numpy as np

text = Path("@LIBRARY@/minivision/ops/softmax.py").read_text()
start = text.index("def _softmax_vjp")
exec(text[start : text.index("\n\n", start)].replace("raw(", "("), {"np": np, **globals()}, globals())
