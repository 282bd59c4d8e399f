"""PyTorch as a peer: its own layers, with PackedSequence where lengths differ."""

from __future__ import annotations

import importlib
from typing import Any

from .workloads import Array, Call, Product, Workload, gradients


class Torch:
    name = "torch"

    def __init__(self, threads: int) -> None:
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(threads)
        self.version = str(self.torch.__version__)

    def layer(self, w: Workload) -> tuple[Any, list[tuple[str, Any]]]:
        """The module, and those of its parameters that we have too. The second bias is zero, as it is with us."""
        kind = getattr(self.torch.nn, w.cell)
        layer = kind(w.I, w.H, w.layers, bidirectional=w.bidirectional, dtype=getattr(self.torch, w.dtype))
        named = []
        for part in w.parts:
            suffix = f"_l{part.layer}{'_reverse' if part.reverse else ''}"
            theirs = {"W_ih": f"weight_ih{suffix}", "W_hh": f"weight_hh{suffix}", "b": f"bias_ih{suffix}"}
            second = getattr(layer, f"bias_hh{suffix}")
            with self.torch.no_grad():
                second.zero_()
                if "b_hn" in part.parameters:
                    second[-w.H :] = self.torch.from_numpy(part.parameters["b_hn"])
                for name, attribute in theirs.items():
                    getattr(layer, attribute).copy_(self.torch.from_numpy(part.parameters[name]))
            named += [(part.key(name), getattr(layer, attribute)) for name, attribute in theirs.items()]
        return layer, named

    def apply(self, w: Workload, layer: Any, x: Any) -> tuple[Any, Any]:
        if not w.variable:
            result: tuple[Any, Any] = layer(x)
            return result
        rnn = self.torch.nn.utils.rnn
        y, state = layer(rnn.pack_padded_sequence(x, w.lengths, enforce_sorted=False))
        return rnn.pad_packed_sequence(y, total_length=w.T)[0], state

    def inference(self, w: Workload) -> Call:
        (layer, _), x = self.layer(w), self.torch.from_numpy(w.x)

        def run() -> Any:
            with self.torch.inference_mode():
                return self.apply(w, layer, x)

        def results(r: Any) -> dict[str, Array]:
            last = {"h": (r[1][0] if w.cell == "LSTM" else r[1])[0].numpy()} if w.single else {}
            return {"y": r[0].numpy(), **last}

        return Call(run, results)

    def linear(self, product: Product) -> Call:
        x, W, b = (self.torch.from_numpy(array) for array in (product.x, product.W, product.b))
        layer = self.torch.nn.Linear(*product.W.shape[::-1])
        with self.torch.no_grad():
            layer.weight.copy_(W)
            layer.bias.copy_(b)

        def run() -> Any:
            with self.torch.inference_mode():
                return layer(x)

        return Call(run, lambda y: {"y": y.numpy()})

    def training(self, w: Workload) -> Call:
        layer, named = self.layer(w)
        return self.forward_and_backward(w, lambda x: self.apply(w, layer, x)[0], named, layer.parameters())

    def forward_and_backward(self, w: Workload, forward: Any, named: Any, parameters: Any) -> Call:
        """A training call of `forward`, an input to an output, with gradients of x and `parameters`, of which
        `named` are compared."""
        x, dy = self.torch.from_numpy(w.x.copy()).requires_grad_(), self.torch.from_numpy(w.dy)
        cleared = [x, *parameters]

        def run() -> Any:
            for tensor in cleared:
                tensor.grad = None
            y = forward(x)
            y.backward(dy)
            return y

        return Call(run, lambda y: {"y": y.detach().numpy(), **gradients([("x", x), *named])})
