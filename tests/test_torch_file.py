"""PyTorch's files, made by PyTorch (golden/make_torch_files.py): what they hold is read, and nothing in them runs."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
from golden.weights import noise

import minivision as mv
from minivision import pickles

GOLDEN = Path(__file__).parent / "golden"
FORMS = ["new.pt", "old.pt"]
base = noise("base", (6, 4))
threes = noise("kinds", (5,)) * np.float32(3)
WANTED = {
    "state_dict.module.weight": noise("weight", (3, 2)),
    "state_dict.module.turned": base.T,
    "state_dict.module.part": base[1:5, ::2],
    "state_dict.module.number": np.array(7),
    "state_dict.module.none": np.empty((0, 3), np.float32),
    "state_dict.module.channels_last": noise("image", (2, 3, 4, 5)),
    "kinds.float64": threes.astype(np.float64),
    "kinds.float16": threes.astype(np.float16).astype(np.float32),
    **{f"kinds.{kind}": threes.astype(kind) for kind in ("int64", "int32", "int16", "int8", "bool")},
    "linear.weight": noise("weight", (3, 2)),
    "linear.bias": noise("bias", (3,)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_tensor_comes_with_its_type_and_values(form):
    found = mv.load_checkpoint(GOLDEN / form)
    assert set(found) == set(WANTED) | {"kinds.bfloat16", "kinds.uint8"}
    for name, wanted in WANTED.items():
        assert (found[name].dtype, found[name].shape) == (wanted.dtype, wanted.shape), name
        np.testing.assert_array_equal(found[name], wanted)
    np.testing.assert_array_equal(found["kinds.uint8"], threes.astype(np.int64).astype(np.uint8))
    error = np.abs(found["kinds.bfloat16"] - threes)
    assert np.all(error <= 2.0**-8 * np.abs(threes))
    assert np.all(found["kinds.bfloat16"].view(np.uint32) & 0xFFFF == 0)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_anywhere_is_never_half_loaded(form, tmp_path):
    sound, path = (GOLDEN / form).read_bytes(), tmp_path / form
    for length in range(0, len(sound), 7):
        path.write_bytes(sound[:length])
        with pytest.raises(mv.CheckpointError):
            mv.load_checkpoint(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_byte_gives_arrays_or_a_checkpoint_error(form, tmp_path):
    """Nothing else, whatever the damage says; a changed number in a storage cannot be noticed."""
    sound, path, rng = (GOLDEN / form).read_bytes(), tmp_path / form, np.random.default_rng(0)
    refused = 0
    for at in rng.integers(len(sound), size=600):
        path.write_bytes(sound[:at] + bytes([rng.integers(256)]) + sound[at + 1 :])
        try:
            mv.load_checkpoint(path)
        except mv.CheckpointError:
            refused += 1
    assert refused > 60


def zipped(data, **entries):
    """A file of the newer form with the given pickle and storages."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for key, raw in entries.items():
            archive.writestr(f"archive/data/{key.removeprefix('_')}", raw)
    return buffer.getvalue()


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_in_the_pickle_is_not_made(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bomb.pt").write_bytes(zipped(pickle.dumps({"w": Bomb(), "x": [Bomb()]}, protocol=protocol)))
    with pytest.raises(mv.CheckpointError, match="no tensor in it"):
        mv.load_checkpoint("bomb.pt")
    assert not Path("exploded").exists()
    assert any(code.name in ("REDUCE", "GLOBAL") for code, _, _ in pickletools.genops(pickle.dumps(Bomb(), protocol=0)))


def test_only_names_are_kept_of_what_a_pickle_asks_for():
    made = pickles.run(pickle.dumps({"a": Bomb(), "b": os.mkdir, "c": (1, 2.5, "x", None, True)}, protocol=2))
    assert isinstance(made["a"], pickles.Placeholder)
    assert made["b"] == pickles.Named(f"{os.mkdir.__module__} mkdir")
    assert made["c"] == (1, 2.5, "x", None, True)


def tensor(offset, shape, strides, count):
    """The pickle of {"w": a tensor} with these numbers, by hand."""
    kept = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + number(count) + b"tQ"
    sizes = b"".join(b"(" + b"".join(map(number, part)) + b"t" for part in (shape, strides))
    return b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + kept + number(offset) + sizes + b"\x89NtRs."


def number(n):
    """LONG1 of a whole number."""
    raw = n.to_bytes(8, "little", signed=True)
    return b"\x8a\x08" + raw


def test_the_tensor_by_hand_is_read(tmp_path):
    (tmp_path / "w.pt").write_bytes(zipped(tensor(1, (2, 2), (2, 1), 6), _0=np.arange(6, dtype="<f4").tobytes()))
    assert mv.load_checkpoint(tmp_path / "w.pt")["w"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (tensor(3, (2, 2), (2, 1), 6), "beyond its storage"),
        (tensor(-1, (2,), (1,), 6), "beyond its storage"),
        (tensor(5, (2,), (-1,), 6), "beyond its storage"),
        (tensor(0, (2**40,), (0,), 6), "repeats its 6 numbers"),
        (tensor(0, (2,), (1, 1), 6), "cut off, damaged"),
        (tensor(0, (6,), (1,), 7), "should be 7 of FloatStorage, but is 24 bytes"),
        (tensor(0, (6,), (1,), 6).replace(b"FloatStorage", b"QInt8Storage"), "QInt8Storage"),
        (tensor(0, (6,), (1,), 6)[:-1], "damaged"),
    ],
)
def test_a_tensor_that_lies_is_refused(view, told, tmp_path):
    (tmp_path / "w.pt").write_bytes(zipped(view, _0=np.arange(6, dtype="<f4").tobytes()))
    with pytest.raises(mv.CheckpointError, match=told):
        mv.load_checkpoint(tmp_path / "w.pt")


def test_lists_of_lists_of_lists_take_no_time(tmp_path):
    tree = []
    for _ in range(100):
        tree = [tree, tree]
    (tmp_path / "w.pt").write_bytes(zipped(pickle.dumps({"w": tree}, protocol=2)))
    with pytest.raises(mv.CheckpointError, match="no tensor in it"):
        mv.load_checkpoint(tmp_path / "w.pt")


def test_compressed_entries_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(mv.CheckpointError, match="compressed"):
        mv.load_checkpoint(tmp_path / "w.pt")
