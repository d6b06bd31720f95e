"""Checkpoints: what goes in comes out, what is no checkpoint is named, and a crash loses nothing."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import minivision as mv
from minivision import nn
from minivision.checkpoint import load_metadata


def arrays():
    rng = np.random.default_rng(0)
    return {
        "weight": rng.standard_normal((3, 4)).astype(np.float32),
        "double": rng.standard_normal(5),
        "turned": rng.standard_normal((4, 3)).T,
        "every second": np.arange(10, dtype=np.int64)[::2],
        "count": np.array(7, np.int64),
        "none": np.zeros((0, 3), np.float32),
        "flags": np.array([True, False]),
        "bytes": np.arange(4, dtype=np.uint8),
        "big end first": np.arange(3, dtype=">f4"),
        "odd values": np.array([np.nan, np.inf, -0.0, 1e-45], np.float32),
    }


def same(loaded, expected):
    assert loaded.keys() == expected.keys()
    for name, array in loaded.items():
        assert (array.shape, array.dtype) == (expected[name].shape, expected[name].dtype.newbyteorder("=")), name
        assert array.tobytes() == expected[name].astype(array.dtype).tobytes(), name
        assert array.flags.writeable


def test_arrays_of_every_kind_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "a.safetensors"
    mv.save_checkpoint(path, arrays(), {"epoch": "3", "what": "größer"})
    same(mv.load_checkpoint(path), arrays())
    same(safetensors.numpy.load_file(path), {name: np.ascontiguousarray(a) if a.ndim else a for name, a in arrays().items()})
    assert load_metadata(path) == {"epoch": "3", "what": "größer"}


def test_what_another_program_wrote_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"w": np.ones((2, 2), np.float32)}, path)
    same(mv.load_checkpoint(str(path)), {"w": np.ones((2, 2), np.float32)})
    assert load_metadata(path) == {}


def test_a_module_goes_to_disk_and_back(tmp_path):
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    mv.save_checkpoint(tmp_path / "m.safetensors", one)
    other.load_state_dict(mv.load_checkpoint(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(other.weight.data, one.weight.data)
    mv.save_checkpoint(tmp_path / "t.safetensors", dict(one.named_parameters()))
    same(mv.load_checkpoint(tmp_path / "t.safetensors"), one.state_dict())


def raw_file(path, entries, data):
    """A safetensors file from its parts: 8 bytes of header length, the header as JSON, the data."""
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_half_precision_comes_as_float32(tmp_path):
    path, half = tmp_path / "h.safetensors", np.array([1.5, -2.0, 65504.0, 6e-8, np.inf], np.float16)
    brain = {
        0x3F80: 1.0,
        0xC049: -3.140625,
        0x7F80: np.inf,
        0x0001: 2.0**-133,
    }  # bits -> value: 8 bits of exponent, 7 of fraction
    entries = {
        "half": {"dtype": "F16", "shape": [5], "data_offsets": [0, 10]},
        "brain": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [10, 18]},
        "one": {"dtype": "BF16", "shape": [], "data_offsets": [18, 20]},
    }
    raw_file(path, entries, half.tobytes() + np.array([*brain, 0x4000], "<u2").tobytes())
    expected = {"half": half.astype(np.float32), "brain": np.array([*brain.values()], np.float32).reshape(2, 2)}
    same(mv.load_checkpoint(path), {**expected, "one": np.array(2.0, np.float32)})


def test_element_types_that_cannot_be_read_are_named(tmp_path):
    raw_file(tmp_path / "f.safetensors", {"w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"\0")
    with pytest.raises(mv.CheckpointError, match=r"F8_E4M3(.|\n)*float32"):
        mv.load_checkpoint(tmp_path / "f.safetensors")


def plain_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return buffer.getvalue()


def numpy_file(save, *args):
    buffer = io.BytesIO()
    save(buffer, *args)
    return buffer.getvalue()


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("model"))
    return buffer.getvalue()


SOUND = safetensors.numpy.save({"w": np.ones((20, 20), np.float32), "b": np.ones(20, np.float32)})
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 22887952\n"
FOREIGN = {
    "pickle 2": (pickle.dumps({"w": 1}, protocol=2), "a pickle", "the program that wrote it"),
    "pickle 5": (pickle.dumps({"w": 1}, protocol=5), "a pickle", "the program that wrote it"),
    "html": (b"\n <!DOCTYPE html><html><body>Please log in</body></html>", "HTML page", "download"),
    "lfs": (POINTER, "git-lfs pointer", "git lfs pull"),
    "gzip": (gzip.compress(SOUND), "gzip", "unpack"),
    "tar.gz": (tar(), "gzip", "tar"),
    "zip": (plain_zip(), "a zip archive", "unpack"),
    "npz": (numpy_file(np.savez, np.ones(2)), r"NumPy archive \(.npz\)", "np.load"),
    "npy": (numpy_file(np.save, np.ones(2)), r"NumPy array file \(.npy\)", "np.load"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", "h5py"),
    "gguf": (b"GGUF\x03\0\0\0" + bytes(100), "GGUF", "safetensors"),
    "json": (b'{"weight_map": {"w": "model-00001-of-00002.safetensors"}}', "JSON", "name the .safetensors file"),
    "empty": (b"", "an empty file", "again"),
    "one byte": (b"\x00", "something unknown", "again"),
    "noise": (bytes(range(100, 200)), "something unknown", "again"),
    "cut in the data": (SOUND[:-1], f"truncated safetensors file: {len(SOUND) - 1:,} of {len(SOUND):,} bytes", "again"),
    "cut in the header": (SOUND[:40], "truncated safetensors file: 40 bytes", "again"),
    "cut at the length": (SOUND[:9], "truncated safetensors file: 9 bytes", "again"),
    "damaged offsets": (SOUND.replace(b"[0,80]", b"[4,80]"), "damaged or too new", "again"),
    "damaged header": (SOUND[:20] + b"\xff" + SOUND[21:], "damaged safetensors file", "again"),
    "endless header": (b"\xff" * 7 + b"\x00{" + bytes(50), "its header cannot be", "again"),
}  # fmt: skip


@pytest.mark.parametrize("read", [mv.load_checkpoint, load_metadata])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_checkpoint_is_named(kind, read, tmp_path):
    content, looks, advice = FOREIGN[kind]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(mv.CheckpointError, match=looks) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert advice in str(caught.value).split("hint: ")[1]


def test_a_file_cut_anywhere_is_never_half_loaded(tmp_path):
    path, sound = (
        tmp_path / "model.safetensors",
        safetensors.numpy.save({"w": np.ones(3, np.float32), "b": np.ones(2, np.float32)}),
    )
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        with pytest.raises(mv.CheckpointError, match=r"truncated|empty|unknown"):
            mv.load_checkpoint(path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_unpickled(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    with pytest.raises(mv.CheckpointError):
        mv.load_checkpoint("bomb.pt")
    assert not (tmp_path / "exploded").exists()


def test_an_absent_file_is_said_with_the_closest_names(tmp_path):
    with pytest.raises(mv.CheckpointError, match=r"no such file\n.*holds no .safetensors file"):
        mv.load_checkpoint(tmp_path / "modle.safetensors")
    mv.save_checkpoint(tmp_path / "model.safetensors", {})
    with pytest.raises(mv.CheckpointError, match=r"no such file\n.*holds model.safetensors"):
        mv.load_checkpoint(tmp_path / "modle.safetensors")
    with pytest.raises(mv.CheckpointError, match=r"no such file\n.*no folder"):
        mv.load_checkpoint(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(mv.CheckpointError, match=r"a folder, not a checkpoint\n.*in it: model.safetensors"):
        mv.load_checkpoint(tmp_path)


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    mv.save_checkpoint(path, {"w": np.ones(3)})
    before = path.read_bytes()
    for state, metadata, error in [
        ({"w": np.array(["text"])}, None, mv.CheckpointError),
        ({"w": np.ones(2), "z": np.ones(2, complex)}, None, mv.CheckpointError),
        ({3: np.ones(2)}, None, mv.CheckpointError),
        ({"w": np.zeros(2)}, {"epoch": 3}, TypeError),
    ]:
        with pytest.raises(error):
            mv.save_checkpoint(path, state, metadata)  # type: ignore[arg-type]
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space left on device")))
    with pytest.raises(OSError, match="no space left"):
        mv.save_checkpoint(path, {"w": np.zeros(100)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_a_save_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file))[1])
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("replace"), replace(*names))[1])
    mv.save_checkpoint(tmp_path / "model.safetensors", {"w": np.ones(3)})
    assert calls[:2] == ["fsync", "replace"]
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_saving_into_no_folder_or_through_a_link(tmp_path):
    with pytest.raises(mv.CheckpointError, match="there is no folder"):
        mv.save_checkpoint(tmp_path / "nowhere" / "model.safetensors", {})
    (tmp_path / "real").mkdir()
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "real" / "model.safetensors")
    mv.save_checkpoint(tmp_path / "link.safetensors", {"w": np.ones(3)})
    assert (tmp_path / "link.safetensors").is_symlink()
    assert os.listdir(tmp_path / "real") == ["model.safetensors"]


def test_a_checkpoint_can_be_read_by_whom_other_files_can(tmp_path):
    (tmp_path / "other").write_text("")
    mv.save_checkpoint(tmp_path / "m.safetensors", {"a": np.zeros(1)})
    assert (tmp_path / "m.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
