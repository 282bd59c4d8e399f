"""`Linear` without a tape: packed weights that are kept as long as nothing changes, and the bits of the long way."""

import copy
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import unrolled as ur
from unrolled import ops
from unrolled.layers import linear


@pytest.fixture(autouse=True)
def without_tape():
    with ur.no_grad():
        yield


def layer_and_x(inputs=5, outputs=7, rows=(3,), dtype=np.float32, bias=True, seed=0):
    rng = np.random.default_rng(seed)
    layer = ur.Linear(inputs, outputs, bias=bias, dtype=dtype, rng=rng)
    if bias:
        layer.b.data[...] = rng.standard_normal(outputs)
    return layer, rng.standard_normal((*rows, inputs)).astype(dtype)


def long_way(layer, x):
    return ops.linear(x, layer.W, layer.b).data


def kept(layer):
    """Whether weights packed by an earlier call are good for the next."""
    return layer._packed is not None and layer._packed[0].unchanged()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "rows", [(), (1,), (2,), (6,), (7,), (47,), (48,), (49,), (1, 1), (3, 5), (2, 0), (0,)]
)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (5, 7), (16, 64), (33, 100), (64, 257)])
def test_same_bits_as_the_long_way(dtype, bias, rows, inputs, outputs):
    layer, x = layer_and_x(inputs, outputs, rows, dtype, bias)
    for _ in range(2):
        y = layer(x)
        assert y.shape == (*rows, outputs)
        np.testing.assert_array_equal(y.data, long_way(layer, x), strict=True)
    assert kept(layer)
    reference = x.astype(np.float64) @ layer.W.data.T.astype(np.float64) + (layer.b.data if bias else 0)
    np.testing.assert_allclose(y.data, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 5, 40])
def test_same_bits_at_any_number_of_threads_and_rows(rows, monkeypatch):
    layer, x = layer_and_x(300, 1500, (rows,))
    before, results = ur.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            ur.set_num_threads(threads)
            results += [layer(x).data for _ in range(40)]  # threads on standby come after a while
    finally:
        ur.set_num_threads(before)
    for y in results:
        np.testing.assert_array_equal(y, results[0])
    np.testing.assert_array_equal(results[0][-1], layer(x[-1]).data)


def test_changes_of_a_parameter_are_seen():
    layer, x = layer_and_x()
    held = layer.W.data

    def exchange_b():
        layer.b = None

    def give_b_back():
        layer.b = ur.Tensor(np.ones(7, np.float32), requires_grad=True)

    def exchange_w():
        layer.W = ur.Tensor(np.ones((7, 5), np.float32), requires_grad=True)

    def step():
        with ur.enable_grad():
            layer(x).sum().backward()
        ur.SGD(layer, lr=1.0).step()

    def write_in_place():
        held[...] *= 2  # a view that was taken before the first call

    def write_b():
        layer.b.data[...] += 1

    def load():
        layer.load_parameters({"W": np.full((7, 5), 3, np.float32), "b": np.zeros(7, np.float32)})

    for change in (write_in_place, write_b, step, exchange_b, give_b_back, step, exchange_w, load):
        layer(x)
        before = layer(x).data
        change()
        y = layer(x).data
        assert (y != before).any(), change.__name__
        np.testing.assert_array_equal(y, long_way(layer, x), err_msg=change.__name__)


def test_weights_that_are_computed_are_read_anew():
    class Doubled(ur.Linear):
        @property
        def W(self):
            return self.half * 2.0

        @W.setter
        def W(self, value):
            self.half = value

    layer = Doubled(3, 4, rng=np.random.default_rng(0))
    x = np.ones(3, np.float32)
    first = layer(x).data
    layer.half.data[...] *= 2
    np.testing.assert_array_equal(layer(x).data, 2 * first)
    assert not kept(layer) or long_way(layer, x).tolist() == layer(x).data.tolist()


def test_weights_that_a_property_chooses_are_read_anew():
    class Two(ur.Linear):
        second = False

        @property
        def W(self):
            return self.B if Two.second else self.A

        @W.setter
        def W(self, value):
            self.A, self.B = value, ur.Tensor(value.data * 2, requires_grad=True)

    layer = Two(5, 7, rng=np.random.default_rng(0))
    x = np.ones(5, np.float32)
    layer(x), layer(x)
    Two.second = True
    np.testing.assert_array_equal(layer(x).data, long_way(layer, x))


@pytest.mark.parametrize(
    "write", [lambda layer, b: vars(layer).update(b=b), lambda layer, b: setattr(layer, "b", b)]
)
def test_a_bias_that_comes_later_counts(write):
    layer, x = layer_and_x(bias=False)
    layer(x), layer(x)
    write(layer, ur.Tensor(np.ones(7, np.float32), requires_grad=True))
    np.testing.assert_array_equal(layer(x).data, long_way(layer, x))


def test_deleted_parameters_are_missed():
    layer, x = layer_and_x()
    layer(x), layer(x)
    del layer.W
    with pytest.raises(AttributeError, match="W"):
        layer(x)


@pytest.mark.parametrize("shape", [(7, 9), (8, 5), (7,)])
def test_what_the_layer_refuses_the_quick_way_refuses_too(shape):
    layer, x = layer_and_x()
    layer(x)
    layer.W = ur.Tensor(np.ones(shape, np.float32), requires_grad=True)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"Linear: x|linear: "):
            layer(np.ones((2, 9), np.float32))
    layer, x = layer_and_x(bias=False)
    layer.W = ur.Tensor(np.ones((7, 5)), requires_grad=True)
    for _ in range(3):
        with pytest.raises(TypeError, match="Linear: x has dtype float64"):
            layer(x.astype(np.float64))


def test_an_array_whose_end_calls_the_layer():
    layer, x = layer_and_x()
    called = []
    for _ in range(3):
        layer(x)
    weakref.finalize(layer.W._data, lambda: called.append(layer(x).data))
    layer.W.data = np.ones((7, 5), np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(layer(x).data, long_way(layer, x))
    assert called


def test_held_weights_are_not_packed_at_every_call(monkeypatch):
    layer, x = layer_and_x()
    made = []
    packed = linear.core.PackedLinear
    monkeypatch.setattr(
        linear, "core", SimpleNamespace(PackedLinear=lambda *a: made.append(1) or packed(*a)), raising=True
    )
    held = layer.W.data
    for _ in range(100):
        layer(x)
    assert 1 <= len(made) <= 7  # after 1, 2, 4 ... calls
    del held
    for _ in range(200):
        layer(x)
    assert kept(layer)


def test_memory_is_given_back_to_training():
    layer, x = layer_and_x()
    layer(x)
    layer.W.data[...] += 1
    with ur.enable_grad():
        layer(x)
    assert layer._packed is None


def test_tied_weights():
    table = ur.Embedding(7, 5, rng=np.random.default_rng(0))
    layer, x = layer_and_x()
    layer.W = table.W
    before = layer(x).data
    layer.W.data[...] += 1
    after = layer(x).data
    assert (after != before).any()
    np.testing.assert_array_equal(after, long_way(layer, x))


def test_copies_pack_for_themselves():
    layer, x = layer_and_x()
    y = layer(x).data
    for other in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._packed is None
        np.testing.assert_array_equal(other(x).data, y)
    other.W.data[...] = 0
    np.testing.assert_array_equal(layer(x).data, y)


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.zeros((2, 4), np.float32), ValueError),
        (np.zeros((2, 5), np.float64), TypeError),
        (np.float32(1), ValueError),
        (np.zeros((2, 5), np.int64), TypeError),
    ],
)
def test_wrong_input_is_refused_before_and_after_packing(x, error):
    layer, good = layer_and_x()
    for _ in range(2):
        with pytest.raises(error, match="Linear: x"):
            layer(x)
        layer(good)


def test_other_kinds_of_input():
    layer, x = layer_and_x(rows=(2, 3))
    y = layer(x).data
    wide = np.zeros((2, 3, 10), np.float32)
    wide[..., ::2] = x
    for other in (ur.Tensor(x), wide[..., ::2], np.asfortranarray(x)):
        np.testing.assert_array_equal(layer(other).data, y)
    np.testing.assert_array_equal(layer(x[None]).data, y[None])


def test_many_threads_use_one_layer():
    layer, x = layer_and_x(64, 2000, (8,))
    right = long_way(layer, x)
    with ThreadPoolExecutor(6) as pool:
        for y in pool.map(lambda _: layer(x).data, range(300)):
            np.testing.assert_array_equal(y, right)


def test_with_a_tape_nothing_is_kept():
    layer, x = layer_and_x()
    with ur.enable_grad():
        assert layer(x).requires_grad
    assert layer._packed is None
