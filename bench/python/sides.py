"""unrolled and its peers behind one interface: each turns a workload into a call, or says that it cannot."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any, Protocol

import numpy as np

import unrolled as ur

from .workloads import Array, Call, Workload

# The position of each ONNX gate block among ours.
ONNX_BLOCKS = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}


class Side(Protocol):
    name: str
    version: str

    def inference(self, w: Workload) -> Call | None: ...
    def training(self, w: Workload) -> Call | None: ...


class Unrolled:
    name = "unrolled"

    def __init__(self, threads: int) -> None:
        ur.set_num_threads(threads)
        self.version = str(getattr(ur, "__version__", "?"))

    def cell(self, w: Workload) -> Any:
        cell = getattr(ur, w.cell)(w.I, w.H)
        for name, array in w.parameters.items():
            cell.parameters()[name].data[...] = array
        return cell

    def inference(self, w: Workload) -> Call:
        cell = self.cell(w)
        options = {"lengths": w.lengths} if w.variable else {}

        def run() -> Any:
            with ur.no_grad():
                return cell(w.x, **options)

        return Call(run, lambda r: {"y": np.asarray(r[0]), "h": np.asarray(r[1].h)})

    def training(self, w: Workload) -> Call:
        cell = self.cell(w)
        x = ur.Tensor(w.x, requires_grad=True)
        into = {"x": x, **cell.parameters()}
        options = {"lengths": w.lengths} if w.variable else {}

        def run() -> Any:
            for tensor in into.values():
                tensor.grad = None
            y, _ = cell(x, **options)
            y.backward(w.dy)
            return y

        return Call(run, lambda y: {"y": np.asarray(y), **{n: t.grad for n, t in into.items()}})

    def step(self, w: Workload) -> Call:
        cell = self.cell(w)
        x_t, state = w.x[0], cell.initial_state(w.B)
        return Call(lambda: cell.step(x_t, state), lambda r: {"y": r[0][None], "h": r[1].h})


class Torch:
    name = "torch"

    def __init__(self, threads: int) -> None:
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(threads)
        self.version = str(self.torch.__version__)

    def layer(self, w: Workload) -> Any:
        layer = getattr(self.torch.nn, w.cell)(w.I, w.H)
        p = {name: self.torch.from_numpy(a.copy()) for name, a in w.parameters.items()}
        with self.torch.no_grad():
            layer.weight_ih_l0.copy_(p["W_ih"])
            layer.weight_hh_l0.copy_(p["W_hh"])
            layer.bias_ih_l0.copy_(p["b"])
            layer.bias_hh_l0.zero_()
            if "b_hn" in p:
                layer.bias_hh_l0[-w.H :] = p["b_hn"]
        return layer

    def apply(self, w: Workload, layer: Any, x: Any) -> tuple[Any, Any]:
        if not w.variable:
            result: tuple[Any, Any] = layer(x)
            return result
        rnn = self.torch.nn.utils.rnn
        y, state = layer(rnn.pack_padded_sequence(x, w.lengths, enforce_sorted=False))
        return rnn.pad_packed_sequence(y, total_length=w.T)[0], state

    def inference(self, w: Workload) -> Call:
        layer, x = self.layer(w), self.torch.from_numpy(w.x)

        def run() -> Any:
            with self.torch.inference_mode():
                return self.apply(w, layer, x)

        return Call(
            run, lambda r: {"y": r[0].numpy(), "h": (r[1][0] if w.cell == "LSTM" else r[1])[0].numpy()}
        )

    def training(self, w: Workload) -> Call:
        layer = self.layer(w)
        x, dy = self.torch.from_numpy(w.x.copy()).requires_grad_(), self.torch.from_numpy(w.dy)

        def run() -> Any:
            layer.zero_grad(set_to_none=True)
            x.grad = None
            y, _ = self.apply(w, layer, x)
            y.backward(dy)
            return y

        def results(y: Any) -> dict[str, Array]:
            named = {"W_ih": layer.weight_ih_l0, "W_hh": layer.weight_hh_l0, "b": layer.bias_ih_l0, "x": x}
            return {"y": y.detach().numpy(), **{name: t.grad.numpy() for name, t in named.items()}}

        return Call(run, results)


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        self.runtime: Any = importlib.import_module("onnxruntime")
        self.onnx: Any = importlib.import_module("onnx")
        self.threads = threads
        self.version = str(self.runtime.__version__)

    def session(self, w: Workload) -> Any:
        blocks = ONNX_BLOCKS[w.cell]

        def reorder(array: Array) -> Array:
            parts = np.split(array, len(blocks))
            return np.concatenate([parts[i] for i in blocks])[None]

        second = np.zeros((1, len(blocks) * w.H), np.float32)
        if "b_hn" in w.parameters:
            second[0, -w.H :] = w.parameters["b_hn"]
        bias = np.concatenate([reorder(w.parameters["b"]), second], axis=1)
        weights = {"W": reorder(w.parameters["W_ih"]), "R": reorder(w.parameters["W_hh"]), "B": bias}
        helper, numeric = self.onnx.helper, self.onnx.TensorProto.FLOAT
        options = {"linear_before_reset": 1} if w.cell == "GRU" else {}
        outputs = ["Y", "Y_h", "Y_c"] if w.cell == "LSTM" else ["Y", "Y_h"]
        names = ["X", "W", "R", "B", "lengths"] if w.variable else ["X", "W", "R", "B"]
        node = helper.make_node(w.cell, names, outputs, hidden_size=w.H, **options)
        constants = [
            self.onnx.numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in weights.items()
        ]
        inputs = [helper.make_tensor_value_info("X", numeric, [w.T, w.B, w.I])]
        if w.variable:
            inputs.append(helper.make_tensor_value_info("lengths", self.onnx.TensorProto.INT32, [w.B]))
        infos = [helper.make_tensor_value_info(n, numeric, None) for n in outputs]
        graph = helper.make_graph([node], "cell", inputs, infos, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        settings = self.runtime.SessionOptions()
        settings.intra_op_num_threads = self.threads
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # quiet while others run
        return self.runtime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )

    def inference(self, w: Workload) -> Call:
        session, feed = self.session(w), {"X": w.x}
        if w.variable:
            feed["lengths"] = w.lengths.astype(np.int32)
        return Call(lambda: session.run(None, feed), lambda r: {"y": r[0][:, 0], "h": r[1][0]})

    def training(self, w: Workload) -> None:
        return None  # its CPU package has no training


def available(names: list[str] | None, threads: int) -> list[Side]:
    """unrolled first, then the peers that are installed, or those that were asked for."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from .jax_side import Jax  # imports jax only when made

    peers: dict[str, Any] = {"torch": Torch, "onnxruntime": OnnxRuntime, "jax": Jax}
    chosen = names if names is not None else [n for n in peers if importlib.util.find_spec(n) is not None]
    unknown = set(chosen) - set(peers)
    if unknown:
        raise ValueError(f"peers: received {sorted(unknown)}, expected some of {sorted(peers)}")
    return [Unrolled(threads), *(peers[name](threads) for name in chosen)]
