"""Ops and losses against PyTorch: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unrolled import losses, ops
from unrolled.tensor import Tensor

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")

FLOATS = [np.float32, np.float64]
RNG = np.random.default_rng(0)
X = 2 * RNG.standard_normal((12, 7, 35))
W, B = RNG.standard_normal((19, 35)), RNG.standard_normal(19)
GAIN, BIAS = RNG.standard_normal(35), RNG.standard_normal(35)
TABLE, IDS = RNG.standard_normal((200, 9)), RNG.integers(0, 200, (12, 7))
LABELS, MASK = RNG.integers(0, 35, (12, 7)), RNG.random((12, 7)) < 0.7
IGNORED, CLASS_WEIGHTS = np.where(MASK, LABELS, -100), RNG.random(35)
TARGETS = RNG.random((12, 7, 35))


def functional() -> Any:
    return torch.nn.functional


def class_weights(x: Any) -> Any:
    return torch.tensor(CLASS_WEIGHTS.astype(str(x.dtype).rpartition(".")[2]))


def like(x: Any) -> Any:
    return torch.tensor(TARGETS).to(x.dtype) if isinstance(x, torch.Tensor) else TARGETS.astype(x.dtype)


CASES = {
    "tanh": (ops.tanh, lambda x: torch.tanh(x), (X,)),
    "sigmoid": (ops.sigmoid, lambda x: torch.sigmoid(x), (X,)),
    "softmax": (ops.softmax, lambda x: torch.softmax(x, -1), (X,)),
    "log_softmax": (lambda x: ops.log_softmax(x, 0), lambda x: torch.log_softmax(x, 0), (X,)),
    "linear": (ops.linear, lambda x, w, b: functional().linear(x, w, b), (X, W, B)),
    "matmul": (ops.matmul, lambda a, b: a @ b, (X, X.swapaxes(1, 2).copy())),
    "layer_norm": (ops.layer_norm, lambda x, g, b: functional().layer_norm(x, (35,), g, b), (X, GAIN, BIAS)),
    "embedding": (
        lambda w: ops.embedding(w, IDS),
        lambda w: functional().embedding(torch.tensor(IDS), w),
        (TABLE,),
    ),
    "var": (lambda x: x.var(1), lambda x: x.var(1, unbiased=False), (X,)),
    "getitem": (lambda x: x[IDS % 12, :, ::3], lambda x: x[torch.tensor(IDS % 12), :, ::3], (X,)),
    "cross_entropy": (
        lambda x: losses.cross_entropy(x, LABELS),
        lambda x: functional().cross_entropy(x.flatten(0, 1), torch.tensor(LABELS).flatten()),
        (X,),
    ),
    "cross_entropy_weighted": (
        lambda x: losses.cross_entropy(x, IGNORED, ignore_index=-100, class_weights=CLASS_WEIGHTS),
        lambda x: functional().cross_entropy(
            x.flatten(0, 1), torch.tensor(IGNORED).flatten(), weight=class_weights(x)
        ),
        (X,),
    ),
    "cross_entropy_masked": (
        lambda x: losses.cross_entropy(x, LABELS, mask=MASK, reduction="sum"),
        lambda x: functional().cross_entropy(
            x[torch.tensor(MASK)], torch.tensor(LABELS[MASK]), reduction="sum"
        ),
        (X,),
    ),
    "binary_cross_entropy": (
        lambda x: losses.binary_cross_entropy(x, like(x)),
        lambda x: functional().binary_cross_entropy_with_logits(x, like(x)),
        (X,),
    ),
    "mean_squared_error": (
        lambda x: losses.mean_squared_error(x, like(x)),
        lambda x: functional().mse_loss(x, like(x)),
        (X,),
    ),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_torch(name: str, dtype: Any) -> None:
    ours, theirs, arrays = CASES[name]
    tensors = [Tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    peers = [torch.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    y, peer = ours(*tensors), theirs(*peers)
    # Both round sums of up to 84 terms of a few units (the gradient of a gain), in different orders.
    close = {"rtol": 100 * np.finfo(dtype).eps, "atol": 200 * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, peer.detach().numpy(), **close)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    y.backward(dy)
    peer.backward(torch.tensor(dy))
    for tensor, other in zip(tensors, peers, strict=True):
        np.testing.assert_allclose(tensor.grad, other.grad.numpy(), **close)
