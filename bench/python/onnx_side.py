"""ONNX Runtime as a peer, inference only: its CPU package has no training."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from .workloads import Array, Call, Part, Product, Workload

# The position of each ONNX gate block among ours.
BLOCKS = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        self.runtime: Any = importlib.import_module("onnxruntime")
        self.onnx: Any = importlib.import_module("onnx")
        self.threads = threads
        self.version = str(self.runtime.__version__)

    def weights(self, w: Workload, layer: int) -> dict[str, Array]:
        """W, R and B of one layer, the directions along the first axis."""
        blocks = BLOCKS[w.cell]

        def reorder(array: Array) -> Array:
            parts = np.split(array, len(blocks))
            return np.concatenate([parts[i] for i in blocks])

        def bias(part: Part) -> Array:
            second = np.zeros(w.rows, w.dtype)
            if "b_hn" in part.parameters:
                second[-w.H :] = part.parameters["b_hn"]
            return np.concatenate([reorder(part.parameters["b"]), second])

        parts = [part for part in w.parts if part.layer == layer]
        return {
            f"W{layer}": np.stack([reorder(part.parameters["W_ih"]) for part in parts]),
            f"R{layer}": np.stack([reorder(part.parameters["W_hh"]) for part in parts]),
            f"B{layer}": np.stack([bias(part) for part in parts]),
        }

    def model(self, w: Workload) -> bytes:
        """One node per layer; between layers the directions (T, 2, B, H) become features (T, B, 2 H)."""
        helper, numeric = self.onnx.helper, self.onnx.TensorProto.FLOAT
        options: dict[str, Any] = {"linear_before_reset": 1} if w.cell == "GRU" else {}
        options["direction"] = "bidirectional" if w.bidirectional else "forward"
        constants: dict[str, Array] = {}
        nodes, below = [], "X"
        for layer in range(w.layers):
            weights = self.weights(w, layer)
            constants |= weights
            last = ["Y_h"] if layer == w.layers - 1 else []
            names = [below, *weights, *(["lengths"] if w.variable else [])]
            above = f"Y{layer}"
            nodes.append(helper.make_node(w.cell, names, [above, *last], hidden_size=w.H, **options))
            nodes.append(helper.make_node("Transpose", [above], [f"swapped{layer}"], perm=[0, 2, 1, 3]))
            below = f"Z{layer}"
            nodes.append(helper.make_node("Reshape", [f"swapped{layer}", "features"], [below]))
        inputs = [helper.make_tensor_value_info("X", numeric, [w.T, w.B, w.I])]
        if w.variable:
            inputs.append(helper.make_tensor_value_info("lengths", self.onnx.TensorProto.INT32, [w.B]))
        output = below
        if not w.bidirectional:
            nodes, output = nodes[:-2], f"Y{w.layers - 1}"  # (T, 1, B, H) as it is
        if len(nodes) > 1:
            constants["features"] = np.array([0, 0, -1])
        return self.serialized(nodes, inputs, (output, "Y_h"), constants)

    def serialized(
        self, nodes: list[Any], inputs: list[Any], outputs: Iterable[str], constants: dict[str, Array]
    ) -> bytes:
        helper = self.onnx.helper
        infos = [helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, None) for name in outputs]
        stored = [self.onnx.numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in constants.items()]
        graph = helper.make_graph(nodes, "network", inputs, infos, stored)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        return bytes(made.SerializeToString())

    def session(self, model: bytes, spinning: bool) -> Any:
        settings = self.runtime.SessionOptions()
        settings.intra_op_num_threads = self.threads
        settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        # Quiet while others run: threads spin within a call, if at all.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        return self.runtime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    def inference(self, w: Workload) -> Call | None:
        if w.dtype != "float32":
            return None
        feed = {"X": w.x} | ({"lengths": w.lengths.astype(np.int32)} if w.variable else {})
        best = self.best_session(self.model(w), feed)

        def results(r: Any) -> dict[str, Array]:
            y, h = r
            return {"y": y} if w.bidirectional else {"y": y[:, 0], "h": h[0]}

        return Call(lambda: best.run(None, feed), results)

    def best_session(self, model: bytes, feed: dict[str, Array]) -> Any:
        """With threads that spin or without: which helps differs from row to row."""
        sessions = [self.session(model, spinning) for spinning in (False, True)]
        return min(sessions, key=lambda session: shortest(session, feed))

    def linear(self, product: Product) -> Call:
        helper, feed = self.onnx.helper, {"X": product.x}
        node = helper.make_node("Gemm", ["X", "W", "b"], ["Y"], transB=1)
        given = helper.make_tensor_value_info("X", self.onnx.TensorProto.FLOAT, product.x.shape)
        best = self.best_session(
            self.serialized([node], [given], ["Y"], {"W": product.W, "b": product.b}), feed
        )
        return Call(lambda: best.run(None, feed), lambda r: {"y": r[0]})

    def training(self, w: Workload) -> None:
        return None


def shortest(session: Any, feed: dict[str, Array]) -> float:
    """Seconds of the shortest of a few calls."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - begin)
    return min(times)
