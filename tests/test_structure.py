"""The shape of the house: nothing imports upward, the engine stays small, importing it stays light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minivision

PACKAGE = Path(minivision.__file__).parent
# A file may import from its own layer's folder and from the layers above it in this list.
LAYERS = [
    ["errors", "metrics"],
    ["kernels"],
    ["recording", "tape", "shapes", "backend", "op", "random"],
    ["ops"],
    ["functional", "inequality", "tensors"],
    ["nn"],
    ["_optimizer", "optim", "schedule", "swa"],
    ["foreign", "pickles", "torch_file", "checkpoint", "published", "profile", "data", "text"],
    ["models"],
    ["generate", "gradcheck", "in_context", "meta", "proof", "bench", "plot", "probe", "robustness", "train"],
    ["doctor", "lesson", "classroom"],
    ["cli"],
]
LEVEL = {name: level for level, layer in enumerate(LAYERS) for name in layer}


PARENTS = {  # a model file imports no sibling but what its paper builds on
    "resnext": {"resnet"},
    "senet": {"resnet"},
    "nonlocal_net": {"resnet"},
    "csra": {"resnet", "vit"},
    "deit": {"vit"},
    "dynamic_vit": {"vit"},
    "igpt": {"gpt2"},
    "gpt3": {"gpt2"},
    "hybrid_vit": {"vit"},
    "mae": {"vit"},
    "acnet_cifar": {"acnet"},
    "micronet": {"shift_max"},
    "mobilenetv3": {"mobilenetv2"},
    "inception_resnet_v2": {"inception_v4"},
    "swin": {"shifted_windows"},
    "swin_v2": {"shifted_windows", "swin"},
    "focal": {"focal_attention"},
    "simmim": {"swin"},
    "token_mixers": {"vit"},
    "transformer_decoder": {"transformer"},
    "bert": {"bert_encoder"},
    "xlnet": {"permutation", "xlnet_attention"},
    "xlnet_attention": {"permutation"},
    "transformer_xl": {"adaptive_softmax"},
    "metaformer": {"token_mixers"},
    "poolformer": {"metaformer", "token_mixers"},
}


def place(path: Path) -> str:
    """The layer name of a file: its top-level module or package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Top-level names inside minivision that a file imports, wherever in the file."""
    package = ["minivision", *path.relative_to(PACKAGE).parts[:-1]]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            names |= {base[1]} if len(base) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minivision"):
            parts = (node.module or "").split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return names


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if place(p) not in ("__init__", "__main__", "_csrc"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_imports_upward(path):
    own = place(path)
    assert own in LEVEL, f"{path.name} has no layer: add it to LAYERS"
    for name in imported(path) & LEVEL.keys():
        assert LEVEL[name] <= LEVEL[own], f"{path.relative_to(PACKAGE)} imports {name}, which stands above {own}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "models").glob("[!_]*.py")), ids=lambda p: p.stem)
def test_a_model_imports_no_sibling_but_a_declared_parent(path):
    froms = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) and node.level == 1]
    siblings = {name for node in froms for name in ([node.module] if node.module else [each.name for each in node.names])}
    assert {name for name in siblings if not name.startswith("_")} <= PARENTS.get(path.stem, set())


def test_the_tape_knows_no_operation():
    assert not imported(PACKAGE / "tape.py") & {"op", "ops", "kernels", "functional"}


def test_only_kernels_touch_the_compiled_module():
    users = {place(p) for p in PACKAGE.rglob("*.py") if "_kernels" in imported(p)}
    assert users <= {"kernels"}


def test_the_engine_is_under_300_lines():
    assert sum(len((PACKAGE / name).read_text().splitlines()) for name in ("tape.py", "op.py")) < 300


@pytest.mark.parametrize("library", ["matplotlib", "rich", "sklearn", "PIL", "scipy", "torch"])
def test_importing_minivision_is_light(library):
    code = f"import sys, minivision, minivision.data; sys.exit('{library}' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 0


def test_importing_minivision_takes_under_a_quarter_second(tmp_path):
    code = "import time; t = time.process_time(); import minivision; print(time.process_time() - t)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}  # compiled by the first run, as by an installation
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    runs = [float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout) for _ in range(5)]
    assert min(runs) < 0.25, "seconds of this process's own, so that other work on the machine does not count"
