"""Weights from PyTorch: modules or state dictionaries of RNN, LSTM, GRU and their cells, Linear, Embedding and
LayerNorm. PyTorch itself is not imported.

Gate orders agree (`i f g o`, `r z n`). PyTorch has two biases per gate, which only ever act as their sum: b =
b_ih + b_hh. The exception is the gate n of the GRU, whose recurrent bias is inside the reset product and
stays apart as `b_hn`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from unrolled import init
from unrolled.arrays import refuse_masked
from unrolled.module import Module

_CELLS = {4: "LSTM", 3: "GRU", 1: "RNN"}
_OF_A_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # names of a layer are these and its number
_RECURRENT_KEY = re.compile(r"(weight|bias)_(ih|hh|hr)_l(\d+)(_reverse)?")
Arrays = dict[str, np.ndarray]


def from_torch(source: Any, *, prefix: str = "", nonlinearity: str | None = None) -> Any:
    """The layer that computes what a PyTorch layer computes, with a copy of its weights, in evaluation mode.

    source: a torch.nn RNN, LSTM (with proj_size: it gives a `ProjectedLSTM`), GRU, RNNCell, LSTMCell, GRUCell, Linear,
    Embedding or LayerNorm, or the state dictionary of one (values: tensors or arrays; of a LayerNorm, or without bias
    of a Linear or an Embedding, only the module says what it is). prefix: takes the part of a larger module or state
    dictionary below this name, such as "encoder.lstm", or whose names start with it. nonlinearity: "tanh" or "relu" of
    an RNN; known from a module, "tanh" for a state dictionary unless given.

    One layer gives a cell, or `Bidirectional`; several give a `Stack` of those. Inputs are always (time,
    batch, features), and a warning says so where `batch_first` was set; what an LSTMCell does to (batch, features) is
    `step`. Training dropout between layers is kept from a module, and a module that is frozen as a whole stays so.
    """
    if nonlinearity not in (None, "tanh", "relu"):
        raise ValueError(f"from_torch: nonlinearity is {nonlinearity!r}, expected 'tanh', 'relu' or None")
    module = None if isinstance(source, Mapping) else source
    if not isinstance(source, Mapping) and not hasattr(source, "state_dict"):
        raise TypeError(
            f"from_torch: source is {type(source).__name__}, expected a PyTorch module or a state dictionary"
        )
    state = source if module is None else module.state_dict()
    if prefix and any(name.startswith(f"{prefix}.") for name in state):
        prefix += "."
    arrays = {
        name[len(prefix) :]: _array(name, value) for name, value in state.items() if name.startswith(prefix)
    }
    if not state:
        raise ValueError(f"from_torch: {type(source).__name__} has no parameters, nothing can be taken over")
    if not arrays:
        raise ValueError(
            f"from_torch: no name in the state dictionary starts with {prefix!r}; it has {', '.join(state)}"
        )
    for name in filter(None, prefix.split(".")):
        module = getattr(module, name, None)  # what the part is told by itself
    if arrays.keys() <= set(_OF_A_CELL):
        arrays = {f"{name}_l0": array for name, array in arrays.items()}
    if all(_RECURRENT_KEY.fullmatch(name) for name in arrays):
        dropout, kind = float(getattr(module, "dropout", 0.0)), _kind_of_cell(arrays)
        with init.unfinished():
            layer = _recurrent(arrays, _nonlinearity(module, kind, nonlinearity), dropout, kind)
        if getattr(module, "batch_first", False):
            warnings.warn(
                "from_torch: the layer had batch_first=True; x and y are (time, batch, features) here",
                stacklevel=2,
            )
    else:
        layer = _plain(arrays, module, prefix)
    _freeze(layer, source, prefix)
    return layer.eval()


def _nonlinearity(module: Any, kind: str, given: str | None) -> str:
    """What an RNN uses, as its module says or the caller."""
    if given is not None and kind != "RNN":
        raise ValueError(f"from_torch: nonlinearity is {given!r}, which a layer of kind {kind} does not take")
    told = getattr(module, "mode", getattr(module, "nonlinearity", None))  # of a layer, of a cell
    known = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}.get(str(told), told) if kind == "RNN" else None
    if given is not None and known is not None and given != known:
        raise ValueError(f"from_torch: nonlinearity is {given!r}, but the module has {known!r}")
    return given or known or "tanh"


def _freeze(layer: Module, source: Any, prefix: str) -> None:
    """Freezes what was frozen as a whole. Of single parameters that is not known here: two biases become one."""
    if isinstance(source, Mapping) or not hasattr(source, "named_parameters"):
        return
    trained = {n: p.requires_grad for n, p in source.named_parameters() if n.startswith(prefix)}
    if trained and not any(trained.values()):
        layer.freeze()
    elif not all(trained.values()):
        frozen = ", ".join(name for name, trains in trained.items() if not trains)
        warnings.warn(
            f"from_torch: {frozen} had requires_grad=False; all parameters require gradients here until `freeze`",
            stacklevel=3,
        )


def _array(name: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        try:
            value = value.detach().cpu().numpy()
        except (AttributeError, TypeError, NotImplementedError) as error:  # the last: of the device "meta"
            raise TypeError(
                f"from_torch: {name!r} cannot become an array ({error}); convert with .float() first"
            ) from None
    refuse_masked("from_torch", repr(name), value)
    if value.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"from_torch: {name!r} has dtype {value.dtype}, expected float32 or float64; convert with "
            ".float()"
        )
    return np.ascontiguousarray(value)


def _plain(arrays: Arrays, module: Any, prefix: str) -> Module:
    import unrolled.layers as layers

    names, kind = set(arrays), type(module).__name__
    shape, dtype = (
        arrays["weight"].shape if "weight" in arrays else (),
        next(iter(arrays.values())).dtype.type,
    )
    layer: Module
    if kind == "LayerNorm" and hasattr(module, "eps"):
        layer = _layer_norm(arrays, module)
    elif names == {"weight", "bias"} and len(shape) == 2:
        layer = layers.Linear(shape[1], shape[0], dtype=dtype)
        layer.load_parameters({"W": arrays["weight"], "b": arrays["bias"]})
    elif names == {"weight"} and kind == "Linear":
        layer = layers.Linear(shape[1], shape[0], bias=False, dtype=dtype)
        layer.load_parameters({"W": arrays["weight"]})
    elif names == {"weight"} and kind == "Embedding":
        if getattr(module, "max_norm", None) is not None:
            raise ValueError(
                "from_torch: an Embedding with max_norm changes its weights when called; it is not supported"
            )
        layer = layers.Embedding(shape[0], shape[1], dtype=dtype)
        layer.load_parameters({"W": arrays["weight"]})
    elif names <= {"weight", "bias"} and len(shape) == 1 and module is None:
        raise ValueError(
            f"from_torch: {' and '.join(map(repr, arrays))} may be of a LayerNorm; pass the module itself, which has "
            "eps"
        )
    elif names == {"weight"} and module is None:
        raise ValueError(
            "from_torch: 'weight' alone may be of a Linear or of an Embedding; pass the module itself"
        )
    else:
        parts = dict.fromkeys(prefix + part for name in arrays if (part := name.rpartition(".")[0]))
        raise ValueError(
            f"from_torch: the names {', '.join(arrays)} are not those of one RNN, LSTM, GRU, cell of these, Linear, "
            "Embedding or LayerNorm; choose a part of a larger model with prefix="
            + (f", here one of {', '.join(parts)}" if parts else "")
        )
    return layer


def _layer_norm(arrays: Arrays, module: Any) -> Module:
    import unrolled.layers as layers

    gain = arrays["weight"]
    if gain.ndim != 1:
        raise ValueError(
            f"from_torch: a LayerNorm over {gain.ndim} axes is not supported, only over the last"
        )
    bias = {"bias": arrays["bias"]} if "bias" in arrays else {}
    layer = layers.LayerNorm(gain.size, eps=float(module.eps), bias=bool(bias), dtype=gain.dtype.type)
    layer.load_parameters({"gain": gain, **bias})
    return layer


def _kind_of_cell(arrays: Arrays) -> str:
    """The name of our class, from the shapes."""
    hidden = arrays.get("weight_hh_l0")
    if any("_hr_" in name for name in arrays):
        return "ProjectedLSTM"
    if hidden is None or hidden.ndim != 2:
        raise ValueError(
            "from_torch: there is no matrix weight_hh_l0, the recurrent weights of the first layer"
        )
    gates = hidden.shape[0] // max(hidden.shape[1], 1)
    if gates not in _CELLS or hidden.shape[0] != gates * hidden.shape[1]:
        raise ValueError(
            f"from_torch: weight_hh_l0 has shape {hidden.shape}, expected (G*H, H) with G = 1, 3 or 4 gates"
        )
    return _CELLS[int(gates)]


def _recurrent(arrays: Arrays, nonlinearity: str, dropout: float, kind: str) -> Module:
    import unrolled.layers as layers

    depth = 1 + max(int(re.findall(r"_l(\d+)", name)[0]) for name in arrays)
    both_ways = any(name.endswith("_reverse") for name in arrays)
    stack: list[Module] = []
    for level in range(depth):
        cells = [
            _cell(arrays, f"l{level}{way}", nonlinearity, kind)
            for way in (["", "_reverse"] if both_ways else [""])
        ]
        stack.append(layers.Bidirectional(*cells) if both_ways else cells[0])
    return stack[0] if depth == 1 else layers.Stack(stack, dropout=dropout)


def _cell(arrays: Arrays, level: str, nonlinearity: str, kind: str) -> Module:
    import unrolled.cells as cells

    names = [f"{what}_{part}_{level}" for what in ("weight", "bias") for part in ("ih", "hh")]
    bias, projected = any(name.startswith("bias") for name in arrays), kind == "ProjectedLSTM"
    needed = names[: 4 if bias else 2] + ([f"weight_hr_{level}"] if projected else [])
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise ValueError(f"from_torch: {', '.join(missing)} is missing from the state dictionary")
    W_ih, W_hh = arrays[names[0]], arrays[names[1]]
    values = {"W_ih": W_ih, "W_hh": W_hh}
    options: dict[str, Any] = {}
    hidden_size = W_hh.shape[1]
    if projected:
        values["W_hr"] = arrays[needed[-1]]
        hidden_size, options["projection_size"] = values["W_hr"].shape[1], hidden_size
    if bias:
        b_ih, b_hh = arrays[names[2]], arrays[names[3]]
        values["b"] = b_ih + b_hh
        if kind == "GRU":
            n = slice(2 * hidden_size, None)
            values["b"][n], values["b_hn"] = b_ih[n], b_hh[n].copy()
    if kind == "RNN":
        options["nonlinearity"] = nonlinearity
    cell: Module = getattr(cells, kind)(
        W_ih.shape[1], hidden_size, bias=bias, dtype=W_ih.dtype.type, **options
    )
    cell.load_parameters(values)
    return cell
