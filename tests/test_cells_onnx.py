"""The node tests that every backend of ONNX has to pass: RNN, LSTM with and without peepholes, GRU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unrolled as ur
from peers import ONNX_GATES, ONNX_PEEPHOLES, require

pytestmark = pytest.mark.peer

NODES = {
    "RNN": ["defaults", "initial_bias", "seq_length", "batchwise", "reverse", "bidirectional"],
    "LSTM": ["defaults", "initial_bias", "peepholes", "batchwise", "reverse", "bidirectional"],
    "GRU": ["defaults", "initial_bias", "seq_length", "batchwise", "reverse", "bidirectional"],
}
OUR_GATES = {"RNN": ("h",), "PeepholeLSTM": ("i", "f", "g", "o"), "LSTM": ("i", "f", "g", "o")}
OUR_GATES["GRU"] = OUR_GATES["GRUResetBefore"] = ("r", "z", "n")


def published(operator: str, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """The node of a test with its inputs and outputs, both by name."""
    require("onnx")
    module = pytest.importorskip(f"onnx.backend.test.case.node.{operator.lower()}")
    found: list[Any] = []
    monkeypatch.setattr(
        module, "expect", lambda node, inputs, outputs, **_: found.append((node, inputs, outputs))
    )
    export = getattr(getattr(module, operator), f"export_{name}", None)
    if export is None:
        pytest.skip(f"this onnx has no test {name} of {operator}")
    export()
    ((node, inputs, outputs),) = found
    named = dict(zip(filter(None, node.input), inputs, strict=True))
    return node, named, dict(zip(filter(None, node.output), outputs, strict=True))


def cell_of(operator: str, arrays: dict[str, Any], direction: int, linear_before_reset: bool) -> Any:
    """Our cell with the weights of one direction; theirs are z r h and i o f c, with two biases."""
    W, R = arrays["W"][direction], arrays["R"][direction]
    H, gates = R.shape[1], ONNX_GATES[operator]
    kind = {"GRU": "GRU" if linear_before_reset else "GRUResetBefore", "RNN": "RNN"}.get(operator, "LSTM")
    kind = "PeepholeLSTM" if "P" in arrays else kind
    cell = getattr(ur, kind)(W.shape[1], H)

    def reorder(blocks: Any) -> Any:
        parts = dict(zip(gates, np.split(blocks, len(gates)), strict=True))
        return np.concatenate([parts[gate] for gate in OUR_GATES[kind]])

    values = {"W_ih": reorder(W), "W_hh": reorder(R)}
    first, second = np.split(arrays["B"][direction], 2) if "B" in arrays else (np.zeros(len(W)),) * 2
    if kind == "GRU":
        values["b_hn"] = second[-H:].copy()
        second = np.concatenate([second[:-H], np.zeros(H)])
    values["b"] = reorder(first + second)
    if "P" in arrays:
        values.update(zip(ONNX_PEEPHOLES, np.split(arrays["P"][direction], 3), strict=True))
    for name, parameter in cell.parameters().items():
        parameter.data[...] = values[name]
    return cell


@pytest.mark.parametrize(("operator", "name"), [(op, name) for op, names in NODES.items() for name in names])
def test_node(operator: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node, arrays, wanted = published(operator, name, monkeypatch)
    attributes = {a.name: a for a in node.attribute}
    ways = len(arrays["W"])
    linear = "linear_before_reset" in attributes and attributes["linear_before_reset"].i == 1
    turned = "layout" in attributes and attributes["layout"].i == 1
    cells = [cell_of(operator, arrays, way, linear) for way in range(ways)]
    x = arrays["X"].swapaxes(0, 1) if turned else arrays["X"]
    state = None
    if "initial_h" in arrays:
        names = ("initial_h", "initial_c")[: 2 if operator == "LSTM" else 1]
        state = cells[0].State(*(arrays[n][0] for n in names))
    lengths = arrays.get("sequence_lens", arrays.get("seq_lens"))
    if ways == 2:
        y, states = ur.Bidirectional(*cells)(x, state, lengths)
    else:
        backward = "direction" in attributes and attributes["direction"].s == b"reverse"
        y, last = cells[0](x, state, lengths, reverse=backward)
        states = (last,)
    T, B = x.shape[:2]
    theirs = {
        "Y": np.asarray(y).reshape(T, B, ways, -1).swapaxes(1, 2),
        "Y_h": np.stack([np.asarray(s.h) for s in states]),
        "Y_c": np.stack([np.asarray(getattr(s, "c", s.h)) for s in states]),
    }
    assert wanted
    for output, array in wanted.items():
        ours = theirs[output]
        if turned:
            ours = ours.transpose(2, 0, 1, 3) if output == "Y" else ours.swapaxes(0, 1)
        assert ours.shape == array.shape
        # Their loop and ours sum in another order: some ten roundings of float32.
        np.testing.assert_allclose(ours, array, rtol=2e-6, atol=2e-6)
