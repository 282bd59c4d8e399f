"""Other libraries that compute some of our cells: how to find them and how to hand them our parameters."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from cases import Array, Case

# ONNX stacks its gates in another order; what our cell has not is a block of zeros.
ONNX_GATES = {"RNN": ("h",), "LSTM": ("i", "o", "f", "g"), "GRU": ("z", "r", "n")}
ONNX_PEEPHOLES = ("p_i", "p_o", "p_f")


def require(name: str) -> Any:
    """The module, else a skipped test, which counts as failed where peers are required (see conftest.py)."""
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


def torch_layer(case: Case, cell: Any) -> Any:
    """The torch.nn layer with the parameters of the cell. Of torch's two biases the first is ours; the second
    is frozen at zero, but for the block that the reset gate multiplies."""
    torch = require("torch")
    parameters = {name: torch.from_numpy(np.array(p)) for name, p in cell.parameters().items()}
    layer = getattr(torch.nn, case.torch)(
        cell.input_size,
        cell.hidden_size,
        bias="b" in parameters,
        dtype=parameters["W_ih"].dtype,
        **case.options,
        **({"proj_size": cell.output_size} if "W_hr" in parameters else {}),
    )
    with torch.no_grad():
        layer.weight_ih_l0.copy_(parameters["W_ih"])
        if "W_hr" in parameters:
            layer.weight_hr_l0.copy_(parameters["W_hr"])
        layer.weight_hh_l0.copy_(parameters["W_hh"])
        if "b" in parameters:
            layer.bias_ih_l0.copy_(parameters["b"])
            layer.bias_hh_l0.zero_()
        if "b_hn" in parameters:
            layer.bias_hh_l0[-cell.hidden_size :] = parameters["b_hn"]
    if "b_hn" in parameters:
        mask = torch.zeros_like(layer.bias_hh_l0)
        mask[-cell.hidden_size :] = 1
        layer.bias_hh_l0.register_hook(lambda gradient: gradient * mask)
    elif "b" in parameters:
        layer.bias_hh_l0.requires_grad_(False)
    return layer


def torch_parameters(cell: Any, layer: Any, gradients: bool = False) -> dict[str, Array]:
    """Parameters of the torch layer (or their gradients) under our names."""

    def array(parameter: Any) -> Array:
        return np.asarray((parameter.grad if gradients else parameter).detach())

    result = {"W_ih": array(layer.weight_ih_l0), "W_hh": array(layer.weight_hh_l0)}
    if "W_hr" in cell.parameters():
        result["W_hr"] = array(layer.weight_hr_l0)
    if "b" in cell.parameters():
        result["b"] = array(layer.bias_ih_l0)
    if "b_hn" in cell.parameters():
        result["b_hn"] = array(layer.bias_hh_l0)[-cell.hidden_size :]
    return result


def torch_state(case: Case, state: tuple[Array, ...], requires_grad: bool = False) -> Any:
    """(1, B, H) tensors, alone or as a tuple, as torch wants them."""
    torch = require("torch")
    tensors = tuple(torch.from_numpy(s.copy())[None].requires_grad_(requires_grad) for s in state)
    return tensors if len(tensors) > 1 else tensors[0]


def onnx_session(case: Case, cell: Any, *, reverse: bool = False, lengths: bool = False) -> Any:
    """An ONNX Runtime session of one recurrent node with the parameters of the cell."""
    runtime, onnx = require("onnxruntime"), require("onnx")
    helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

    H = cell.hidden_size
    blocks = ONNX_GATES[case.onnx]
    parameters = {name: np.asarray(p) for name, p in cell.parameters().items()}

    def reorder(name: str) -> Array:
        parts = dict(zip(case.gates, np.split(parameters[name], len(case.gates)), strict=True))
        return np.concatenate([parts.get(gate, 0 * parts[case.gates[0]]) for gate in blocks])[None]

    weights = {"W": reorder("W_ih"), "R": reorder("W_hh")}
    if "b" in cell.parameters():
        second = np.zeros((1, len(blocks) * H), np.float32)
        if "b_hn" in cell.parameters():
            second[0, -H:] = np.asarray(cell.b_hn)
        weights["B"] = np.concatenate([reorder("b"), second], axis=1)
    if "p_i" in parameters:
        weights["P"] = np.concatenate([parameters[name] for name in ONNX_PEEPHOLES])[None]
    states = [f"initial_{s}" for s in case.states]
    inputs = ["X", "W", "R", "B" if "B" in weights else "", "lengths" if lengths else "", *states]
    if "P" in weights:
        inputs.append("P")
    node = helper.make_node(
        case.onnx, inputs, ["Y", *(f"last_{s}" for s in case.states)], hidden_size=H,
        direction="reverse" if reverse else "forward", **case.onnx_options,
    )  # fmt: skip
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["t", "b", None]) for n in ("X", *states)]
    if lengths:
        values.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["b"]))
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in node.output]
    constants = [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in weights.items()]
    graph = helper.make_graph([node], "cell", values, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
