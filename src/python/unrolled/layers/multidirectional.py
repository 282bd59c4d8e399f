"""Layers over a grid that read from all of its corners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, ClassVar

from unrolled import checks, ops
from unrolled.layers.multidimensional import GridRecurrent
from unrolled.module import Module
from unrolled.tensor import Tensor


class MultiDirectional(Module):
    """Layers over a grid, each reading from another corner: 4 for images, 8 for volumes.

        y = [layer_0(x), layer_1(x), ..]      merge="concat"
        y = layer_0(x) + layer_1(x) + ..      merge="sum"

    Layer k is called with `reverse` = the binary digits of k, the first axis first: (False, False), (False, True), ..

    Args:
        layers: layers over a grid of n axes, 2^n of them.
        merge: "concat" or "sum".
    """

    takes_lengths: ClassVar[bool] = True

    def __init__(self, layers: Sequence[GridRecurrent], *, merge: str = "concat") -> None:
        who = "MultiDirectional"
        if isinstance(layers, Module) or not isinstance(layers, Iterable):
            raise TypeError(
                f"{who}: layers is {type(layers).__name__}, expected a list of layers over a grid"
            )
        self.layers = list(layers)
        for number, layer in enumerate(self.layers):
            if not isinstance(layer, GridRecurrent):
                raise TypeError(
                    f"{who}: layer {number} is {type(layer).__name__}, expected a layer over a grid"
                )
        if not self.layers or len(self.layers) != 2 ** self.layers[0].axes:
            raise ValueError(
                f"{who}: there are {len(self.layers)} layers, expected 4 for images, 8 for volumes"
            )
        for number, layer in enumerate(self.layers):
            for what in ("axes", "input_size", "output_size", "dtype"):
                got, wanted = getattr(layer, what), getattr(self.layers[0], what)
                if got != wanted:
                    kind = TypeError if what == "dtype" else ValueError
                    raise kind(f"{who}: layer {number} has {what} {got}, expected {wanted} as layer 0")
        if len({id(layer) for layer in self.layers}) != len(self.layers):
            raise ValueError(f"{who}: a layer is there twice, expected one for each direction")
        self.merge = checks.one_of(who, "merge", merge, ("concat", "sum"))

    @property
    def input_size(self) -> int:
        """Features of x."""
        return self.layers[0].input_size

    @property
    def output_size(self) -> int:
        """Features of y."""
        size = self.layers[0].output_size
        return size * len(self.layers) if self.merge == "concat" else size

    def forward(self, x: Any, lengths: Any = None) -> Tensor:
        """x (n0, .., B, I) -> y (n0, .., B, output_size)."""
        directions = product((False, True), repeat=self.layers[0].axes)
        outputs = [layer(x, lengths, reverse=d) for layer, d in zip(self.layers, directions, strict=True)]
        return ops.concat(outputs, axis=-1) if self.merge == "concat" else sum(outputs[1:], outputs[0])
