"""Differentiable functions of tensors. Every function takes tensors, arrays or numbers, and gives tensors."""

import sys as _sys

from unrolled import operators as _operators
from unrolled.ops.arithmetic import (
    absolute, add, astype, clip, divide, log, maximum, minimum, multiply, negative, power, sqrt, square, subtract, where,
)  # fmt: skip
from unrolled.ops.native import (
    apply, dropout, embedding, exp, layer_norm, linear, log_softmax, matmul, relu, sigmoid, softmax, tanh,
)  # fmt: skip
from unrolled.ops.reduce import max, mean, min, sum, var
from unrolled.ops.shape import (
    broadcast_to, concat, getitem, reshape, split, squeeze, stack, swapaxes, take_along_axis, transpose, unsqueeze, unstack,
)  # fmt: skip
from unrolled.tensor import as_tensor

__all__ = [
    "absolute", "add", "apply", "as_tensor", "astype", "broadcast_to", "clip", "concat", "divide", "dropout", "embedding", "exp",
    "getitem", "layer_norm", "linear", "log", "log_softmax", "matmul", "max", "maximum", "mean", "min", "minimum", "multiply",
    "negative", "power", "relu", "reshape", "sigmoid", "softmax", "split", "sqrt", "square", "squeeze", "stack",
    "subtract", "sum", "swapaxes", "take_along_axis", "tanh", "transpose", "unsqueeze", "unstack", "var", "where",
]  # fmt: skip

_operators.__dict__["ops"] = _sys.modules[__name__]
