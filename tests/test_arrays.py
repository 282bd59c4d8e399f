"""What arguments become arrays of. Elements that do not lie where their type may, as views of bytes from an odd one on,
are copied; what a mask hides is not read; a list does not cut tensors off from their gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unrolled as ur
from unrolled._native import core
from unrolled.arrays import for_kernels
from unrolled.data import ArrayBatches, BucketBatches, CharVocabulary, ContiguousBatches
from unrolled.data.corpus import ScoredText
from unrolled.optim import clip_grad_norm

Array = np.ndarray[Any, Any]


def odd(array: Any) -> Array:
    """The same values one byte off."""
    array = np.asarray(array)
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
    made = memory.view(array.dtype).reshape(array.shape)
    made[...] = array
    assert made.flags.c_contiguous and not made.flags.aligned
    return made


def test_what_is_as_it_should_be_is_not_copied() -> None:
    array = np.ones((2, 3))
    assert for_kernels(array) is array
    for other in (array.T, odd(array), odd(np.float32(3))):
        copy = for_kernels(other)
        assert copy.flags.c_contiguous and copy.flags.aligned and copy.shape == other.shape
        np.testing.assert_array_equal(copy, other)


def test_tensors_hold_aligned_arrays() -> None:
    tensor = ur.Tensor(odd(np.arange(3.0)))
    assert tensor.data.flags.aligned
    tensor.data = odd(np.ones(3))
    assert tensor.data.flags.aligned
    assert ur.tensor.wrap(odd(np.ones(3))).data.flags.aligned


@pytest.mark.parametrize("quick", [True, False])
def test_a_cell_computes_with_copies(quick: bool) -> None:
    rng = np.random.default_rng(0)
    cell = ur.GRU(3, 5, rng=rng)
    x, h, dy = (rng.normal(size=s).astype(np.float32) for s in ((4, 2, 3), (2, 5), (4, 2, 5)))
    lengths = None if quick else np.array([4, 2])
    found = []
    for other in (np.asarray, odd):
        source, start = ur.Tensor(x, requires_grad=True), ur.Tensor(h, requires_grad=True)
        y, _ = cell(source, (start,), lengths)
        y.backward(other(dy))
        with ur.no_grad():
            whole, _ = cell(other(x), (other(h),), None if quick else other(lengths))
        step, _ = cell.step(other(x[0]), (other(h),))
        found.append([np.asarray(whole), step, source.grad, start.grad])
    for plain, copied in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, copied)


def test_optimizers_read_copies_of_gradients() -> None:
    p = ur.Tensor(np.ones(3), requires_grad=True)
    p.grad = odd(np.full(3, 2.0))
    assert clip_grad_norm({"p": p}) == pytest.approx(np.sqrt(12))
    ur.optim.SGD({"p": p}, 0.5).step()
    np.testing.assert_array_equal(p.data, np.zeros(3))


def test_the_kernels_refuse_what_was_not_copied() -> None:
    aligned, other = np.ones((1, 1, 1)), odd(np.ones((1, 1, 1)))
    with pytest.raises(ValueError, match="aligned"):
        core.op("tanh").forward((other,), {})
    for p, g in ((other, aligned), (aligned, other)):
        with pytest.raises(TypeError, match=r"aligned|layout"):
            core.optimizer_update("sgd", [(p, g, None, [])], {"rate": 1.0, "decay": 0.0})
    with pytest.raises(TypeError, match="aligned"):
        core.sums_of_squares([other])
    assert core.is_like(aligned, other) and not core.is_like(other, aligned)
    cell = ur.RNN(1, 1, dtype=np.float64)
    assert cell._step is None or cell._step(other[0], None) is None


HIDDEN = np.ma.masked_equal(np.float32([[1, 2, 0], [3, 4, 5]]), 0)
IDS = np.ma.masked_equal([[1, 2, 0], [1, 1, 2]], 0)
X = np.zeros((2, 3), np.float32)
SEQUENCE = np.zeros((2, 3, 4), np.float32)
GRU, LINEAR = ur.GRU(4, 3, rng=np.random.default_rng(0)), ur.Linear(3, 2)

MASKED: dict[str, Callable[[], Any]] = {
    "pad: sequence 1": lambda: ur.data.pad([X, HIDDEN]),
    "windows: series": lambda: ur.data.windows(HIDDEN, 1),
    "split: an argument": lambda: ur.data.split(X, HIDDEN),
    "one_hot: indices": lambda: ur.data.one_hot(IDS, 3),
    "CharVocabulary: tokens": lambda: CharVocabulary("abc").decode(IDS[0]),
    "ScoredText: tokens": lambda: ScoredText(IDS[0]),
    "ContiguousBatches: tokens": lambda: ContiguousBatches(HIDDEN, 1, 1),
    "ContiguousBatches: targets": lambda: ContiguousBatches(X, 1, 1, targets=HIDDEN),
    "ArrayBatches: inputs": lambda: ArrayBatches(HIDDEN, np.zeros(3), 1),
    "ArrayBatches: targets": lambda: ArrayBatches(X, IDS[0], 1),
    "BucketBatches: sequence 0": lambda: BucketBatches(HIDDEN, np.zeros(2), 1),
    "BucketBatches, targets: sequence 0": lambda: BucketBatches(X, list(HIDDEN), 1),
    "BucketBatches: targets": lambda: BucketBatches(np.zeros((3, 2)), HIDDEN[0], 1),
    "cross_entropy: targets": lambda: ur.cross_entropy(SEQUENCE, IDS),
    "cross_entropy: mask": lambda: ur.cross_entropy(SEQUENCE, X.astype(int), mask=HIDDEN),
    "cross_entropy: class_weights": lambda: ur.cross_entropy(X, [0, 1], class_weights=HIDDEN[0]),
    "binary_cross_entropy: targets": lambda: ur.binary_cross_entropy(X, HIDDEN),
    "mean_squared_error: targets": lambda: ur.mean_squared_error(X, HIDDEN),
    "mean_squared_error: targets, in a list": lambda: ur.mean_squared_error(X, list(HIDDEN)),
    "mean_squared_error: predictions": lambda: ur.mean_squared_error(HIDDEN, X),
    "mean_squared_error: mask": lambda: ur.mean_squared_error(X, X, mask=HIDDEN != 2),
    "GRU: lengths": lambda: GRU(SEQUENCE, lengths=IDS[0]),
    "GRU: reset": lambda: GRU(SEQUENCE, reset=IDS == 1),
    "RowLSTM: lengths": lambda: ur.RowLSTM(4, 2)(SEQUENCE[None], lengths=IDS.T[:, :2]),
    "Pyramid: dt": lambda: ur.Pyramid([ur.RNN(4, 2), ur.CTRNN(4, 2)])(SEQUENCE, dt=HIDDEN),
    "embedding: ids": lambda: ur.Embedding(3, 2)(IDS),
    "Linear: x": lambda: LINEAR(HIDDEN),
    "where: the condition": lambda: ur.where(HIDDEN == 1, X, X),
    "getitem: the key": lambda: ur.Tensor(X)[:, IDS[0]],
    "take_along_axis: indices": lambda: ur.ops.take_along_axis(X, IDS, 1),
    "add: b": lambda: ur.Tensor(X) + HIDDEN,
    "from_torch: 'weight'": lambda: ur.from_torch({"weight": HIDDEN, "bias": X[:, 0]}),
    "Tensor: data": lambda: ur.Tensor([0.0, np.ma.masked]),
}


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("grad", [True, False])
def test_what_a_mask_hides_is_not_read(name: str, grad: bool) -> None:
    with (ur.enable_grad if grad else ur.no_grad)():
        LINEAR(X), LINEAR(X)  # packed
        with pytest.raises(
            TypeError, match=f"{name.partition(', in')[0]} is a masked array, expected a value at"
        ):
            MASKED[name]()


def test_a_mask_that_hides_nothing_is_no_matter() -> None:
    x = np.ma.masked_equal(np.ones((2, 3), np.float32), 0)
    np.testing.assert_array_equal(LINEAR(x), LINEAR(np.ones((2, 3), np.float32)))
    assert type(ur.data.pad([x])[0]) is type(ArrayBatches(x, x, 1).targets) is np.ndarray


Y, STATE = GRU(SEQUENCE)
A, B = Y[0], Y[1]
BOTH = ur.Bidirectional(ur.LSTM(4, 3), ur.LSTM(4, 3))(SEQUENCE)[1]
OF_STATE = r"is GRUState\(h\), a tuple that holds tensors, expected one of them, such as its h, or ur.stack"
OF_LIST = "is a list that holds tensors, expected one of them, or ur.stack"

SEVERAL: list[tuple[Callable[[], Any], str]] = [
    (lambda: LINEAR(STATE), f"Linear: x {OF_STATE}"),
    (lambda: LINEAR((Y, STATE)), r"Linear: x is a tuple that holds tensors, .* such as y of \(y, state\)"),
    (
        lambda: LINEAR(BOTH),
        r"x is BidirectionalState\(forward, backward\), .* such as ur.final_hidden\(state\)",
    ),
    (lambda: LINEAR((STATE, STATE)), r"x is a tuple that holds tensors, .* such as ur.final_hidden\(state\)"),
    (lambda: ur.LayerNorm(3)([A, B]), f"LayerNorm: x {OF_LIST}"),
    (lambda: ur.HighwayNetwork(3, 2)(STATE), f"HighwayNetwork: x {OF_STATE}"),
    (lambda: ur.Dropout()([A, B]), f"dropout: x {OF_LIST}"),
    (lambda: ur.Dropout().eval()([A, B]), f"Dropout: x {OF_LIST}"),
    (lambda: ur.relu(STATE), f"relu: x {OF_STATE}"),
    (lambda: ur.relu([[X, [[A]]]]), f"relu: x {OF_LIST}"),
    (lambda: ur.ops.mean([A.mean(), 0.5]), f"mean: x {OF_LIST}"),
    (lambda: ur.matmul([A, B], X.T), f"matmul: a {OF_LIST}"),
    (lambda: ur.matmul(X, [A[0], A[1], A[2]]), f"matmul: b {OF_LIST}"),
    (lambda: ur.where(True, 0.0, [A, B]), f"where: b {OF_LIST}"),
    (lambda: ur.ops.add([A, B], Y), f"add: a {OF_LIST}"),
    (lambda: Y * [A, B], f"multiply: b {OF_LIST}"),
    (lambda: ur.softmax([A, B]), f"softmax: x {OF_LIST}"),
    (lambda: ur.ops.reshape([A, B], -1), f"reshape: x {OF_LIST}"),
    (lambda: ur.concat([A, [B]]), f"concat: tensor 1 {OF_LIST}"),
    (lambda: ur.cross_entropy([A, B], X.astype(int)), f"cross_entropy: logits {OF_LIST}"),
    (lambda: ur.mean_squared_error([A, B], SEQUENCE[..., :3]), f"mean_squared_error: predictions {OF_LIST}"),
    (lambda: ur.mean_squared_error(SEQUENCE[..., :3], [A, B]), f"mean_squared_error: targets {OF_LIST}"),
    (
        lambda: ur.Pyramid([ur.RNN(4, 2), ur.CTRNN(4, 2)])(SEQUENCE, dt=[A[:, 0], B[:, 0]]),
        f"Pyramid: dt {OF_LIST}",
    ),
    (lambda: ur.Tensor([A, B]), f"Tensor: data {OF_LIST}"),
]


@pytest.mark.parametrize(("call", "message"), SEVERAL, ids=[message[:40] for _, message in SEVERAL])
def test_a_list_of_tensors_does_not_lose_their_gradients(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


def test_a_list_of_tensors_is_an_array_of_their_values_where_no_gradient_is_lost() -> None:
    a, b = A.detach(), B.detach()
    wanted = np.stack([A._data, B._data])
    for made in (
        ur.Tensor([a, b]),
        ur.no_grad()(ur.Tensor)([A, B]),
        ur.no_grad()(ur.ops.as_tensor)([A, [*B]]),
    ):
        np.testing.assert_array_equal(made, wanted)
    np.testing.assert_array_equal(ur.data.windows([A[0], B[0]], 1, horizon=1)[0][:, 0], A._data[:1])
    for grad in (ur.enable_grad, ur.no_grad):  # of unequal shapes
        with grad(), pytest.raises(TypeError, match=r"Linear: x is a tuple .* such as y of \(y, state\)"):
            LINEAR((Y.detach(), ur.cells.GRUState(STATE.h.detach())))


def test_a_tensor_of_another_library_is_called_by_its_full_name() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(
        TypeError, match=r"GRU: x is a torch\.Tensor, expected a NumPy array or a Tensor; use \.numpy"
    ):
        GRU(torch.zeros(2, 3, 4))
    with pytest.raises(TypeError, match=r"GRU: state is a torch\.Tensor, expected GRUState"):
        GRU(SEQUENCE, torch.zeros(3, 3))
    with pytest.raises(TypeError, match=r"layer 0 is a torch\.nn\.\S*\.GRU, expected a recurrent layer"):
        ur.Stack([torch.nn.GRU(4, 3)])
    with pytest.raises(TypeError, match="input_size is a Tensor, expected an int"):
        ur.Linear(A, 2)
