"""Files: models come back whole; damage, full disks and kills lose nothing, and one sentence reports them."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

import unrolled as ur
from unrolled.io import CheckpointError, load, save
from unrolled.io.file import read, replace_file, write
from unrolled.module import Module
from unrolled.tensor import Tensor


class Layer(Module):
    def __init__(self, inputs: int, outputs: int, *, dtype=np.float32, rng=None):
        rng = np.random.default_rng() if rng is None else rng
        self.W = Tensor(rng.standard_normal((outputs, inputs)).astype(dtype), requires_grad=True)


class Deep(Module):
    def __init__(self, size: int, layers: list, *, shift: float = 0.5):
        self.layers = layers
        self.shift = Tensor(np.array(shift), requires_grad=True)
        self.empty = Tensor(np.zeros((0, size)), requires_grad=True)


def make(seed=0) -> Deep:
    rng = np.random.default_rng(seed)
    return Deep(3, [Layer(3, 3, rng=rng), Layer(3, 3, dtype=np.float64, rng=rng), Layer(3, 3, rng=rng)])


def assert_same(a: Module, b: Module) -> None:
    assert list(a.parameters()) == list(b.parameters()) and a.config() == b.config()
    for name, tensor in a.parameters().items():
        other = b.parameters()[name]
        assert tensor.dtype == other.dtype and tensor.requires_grad == other.requires_grad
        np.testing.assert_array_equal(tensor._data, other._data)
        assert tensor.shape == other.shape


def test_a_model_comes_back_with_ties_and_frozen_parameters(tmp_path):
    model = make()
    model.layers[2].W = model.layers[0].W
    model.freeze("layers.1.*")
    save(model, tmp_path / "m.safetensors")
    again = load(str(tmp_path / "m.safetensors"))
    assert_same(model, again)
    assert again.layers[2].W is again.layers[0].W
    assert again.ties() == {"layers.2.W": "layers.0.W"}
    assert not again.training and model.training
    assert os.listdir(tmp_path) == ["m.safetensors"]


@pytest.mark.parametrize("inner", ["plain", "a.b", "", ".", "a.b.c", "W"])
def test_ties_under_keys_that_have_dots(tmp_path, inner):
    layers = {"a": {"b": Layer(3, 3)}, "a.": Layer(3, 3), inner + "!": Layer(3, 3), inner: [Layer(3, 3)]}
    model = Deep(3, layers)
    layers[inner][0].W = layers["a"]["b"].W
    layers[inner + "!"].W = layers["a."].W
    assert len(model.ties()) == 2
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert_same(model, again)
    assert again.ties() == model.ties()
    assert again.layers[inner][0].W is again.layers["a"]["b"].W


def test_equal_models_give_equal_files_and_any_reader_reads_them(tmp_path):
    from safetensors.numpy import load_file

    for name in ("a", "b"):
        save(make(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    arrays = load_file(tmp_path / "a")
    np.testing.assert_array_equal(arrays["layers.1.W"], make().layers[1].W._data)


def test_special_characters_and_every_type_survive(tmp_path):
    arrays = {
        f"ä.{dtype}": np.arange(6).reshape(2, 3).astype(dtype)
        for dtype in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "u8", "?")
    }
    write(
        tmp_path / "x",
        {**arrays, "view": np.arange(12).reshape(3, 4).T},
        {"text": "\ud800 ß \n", "list": [1, None]},
    )
    found, document = read(tmp_path / "x")
    assert document == {"version": 1, "text": "\ud800 ß \n", "list": [1, None]}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found["view"], np.arange(12).reshape(3, 4).T)


def test_damage_anywhere_is_noticed(tmp_path):
    path = tmp_path / "m"
    save(make(), path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, 120, 7), *rng.integers(0, len(good), 200), len(good) - 1]:
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        with pytest.raises(CheckpointError):
            load(path)
    for length in [0, 1, 7, 8, 100, len(good) // 2, len(good) - 1]:
        path.write_bytes(good[:length])
        with pytest.raises(
            CheckpointError, match="not a complete safetensors file; it is truncated or damaged"
        ):
            load(path)
    path.write_bytes(good)
    assert_same(load(path), make())


def test_files_that_are_no_model(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(CheckpointError, match=r"cannot read .*nothing: No such file or directory$"):
        load(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"cannot read .*: Is a directory$"):
        load(tmp_path)
    (tmp_path / "text").write_text("Call me Ishmael. " * 100)
    with pytest.raises(CheckpointError, match="not a complete safetensors file"):
        load(tmp_path / "text")
    save_file({"x": np.zeros(3)}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="holds arrays but no model"):
        load(tmp_path / "other")
    for description in ("", "{", "[]", "3", '{"version": 1}', "[" * 100_000):
        save_file({"x": np.zeros(3)}, tmp_path / "other", metadata={"unrolled": description})
        with pytest.raises(CheckpointError, match="is damaged: its description cannot be read"):
            load(tmp_path / "other")
    write(tmp_path / "new", {}, {"version": 99})
    with pytest.raises(CheckpointError, match="format version 99, this version of unrolled reads 1"):
        load(tmp_path / "new")
    with pytest.raises(TypeError, match="save: model is dict, expected a Module"):
        save({}, tmp_path / "x")


def test_a_model_of_another_architecture(tmp_path):
    save(make(), tmp_path / "m")
    arrays, document = read(tmp_path / "m")
    for change, message in [
        ({"@class": "Deeper"}, "class 'Deeper' is not known here"),
        ({"arguments": {"size": 3, "layers": [], "depth": 2}}, "unexpected keyword argument 'depth'"),
        ({"arguments": {"size": 3, "layers": []}}, "no parameter for layers.0.W"),
        (
            {"arguments": {**document["model"]["config"]["arguments"], "size": 4}},
            r"'empty' has shape \(0, 4\)",
        ),
    ]:
        config = {**document["model"]["config"], **change}
        write(tmp_path / "other", arrays, {"model": {**document["model"], "config": config}})
        with pytest.raises(
            CheckpointError, match=f"other does not fit the classes defined here: .*{message}"
        ):
            load(tmp_path / "other")


def test_what_cannot_be_stored_leaves_the_old_file(tmp_path):
    class Odd(Module):
        def __init__(self, function):
            pass

    save(make(), tmp_path / "m")
    with pytest.raises(TypeError, match="Odd: argument 'function'"):
        save(Odd(print), tmp_path / "m")
    assert_same(load(tmp_path / "m"), make())


def test_full_disk_and_places_without_permission(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"^cannot write /dev/full: No space left on device; what was saved before"
    ):
        save(make(), "/dev/full")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    with pytest.raises(CheckpointError, match=r"^cannot write .*/no/m: No such file or directory$"):
        save(make(), tmp_path / "no" / "m")
    with pytest.raises(CheckpointError, match=r"cannot write .*: Is a directory"):
        save(make(), tmp_path)
    if os.path.isdir("/sys"):  # not even root may write here
        with pytest.raises(CheckpointError, match=r"^cannot write /sys/m: \w+"):
            save(make(), "/sys/m")


def test_a_file_size_limit_keeps_the_old_file_and_no_remains(tmp_path):
    path = tmp_path / "m"
    save(make(), path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(
            CheckpointError, match=r"cannot write .*: File too large; what was saved before is unchanged"
        ):
            save(make(1), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert_same(load(path), make())
    assert os.listdir(tmp_path) == ["m"]


def test_links_permissions_and_remains(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "m", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    for name, age in [(".m.1-1.part", 7200), (".m.2-2.part", 0), (".other.1-1.part", 7200)]:
        (target.parent / name).write_bytes(b"")
        os.utime(target.parent / name, times=(time.time() - age,) * 2)
    replace_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(os.listdir(target.parent)) == [".m.2-2.part", ".other.1-1.part", "m"]


SAVER = """
import sys
import numpy as np
from unrolled.io.file import write
path = sys.argv[1]
for number in range(10**6):
    write(path, {"x": np.full(200_000, number)}, {"number": number})
    print("saved", flush=True)
"""


def test_a_kill_at_any_instant_leaves_a_good_file(tmp_path):
    path = tmp_path / "m"
    rng = np.random.default_rng(0)
    numbers = set()
    for saves in range(1, 17, 2):
        process = subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert all(process.stdout.readline() == b"saved\n" for _ in range(saves))
        time.sleep(float(rng.uniform(0.0, 0.02)))
        process.kill()
        process.wait()
        process.stdout.close()
        arrays, document = read(path)
        assert (arrays["x"] == document["number"]).all()
        numbers.add(document["number"])
    assert len(numbers) > 2  # the kills came at different times


def test_options_that_were_set_later_are_saved(tmp_path):
    model = ur.Stack([ur.LSTM(3, 4, zoneout_h=0.5), ur.LSTM(4, 4), ur.GRU(4, 4)])
    model.dropout = 0.25
    model.cells[0].zoneout_h, model.cells[1].zoneout_c, model.cells[2].gradient_clip = 0.0, 0.25, 3.0
    ur.save(model, tmp_path / "m")
    again = ur.load(tmp_path / "m")
    assert again.dropout == again.masks[0].p == 0.25
    assert [c.zoneout_h for c in again.cells] == [0.0, 0.0, 0.0]
    assert again.cells[1].zoneout_c == 0.25 and again.cells[2].gradient_clip == 3.0
    x = np.ones((5, 2, 3), np.float32)
    np.testing.assert_array_equal(again(x)[0], model.eval()(x)[0])
