"""Types of the native module, which exists once per ISA level (see _native.py)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

__isa__: str

def get_num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def build_config() -> dict[str, Any]: ...

# Cells (src/cpp/bindings/recurrent.cpp, stepper.cpp)

class PackedWeights: ...

class SavedCall:
    def backward(
        self, dy: Array | None, dlast: Sequence[Array | None], wanted: Sequence[bool]
    ) -> tuple[Array | None, list[Array], list[Array | None]]: ...

class Stepper:
    def __init__(self, name: str, tensors: list[Any], state_type: Any, numbers: Sequence[float]) -> None: ...
    def unchanged(self) -> bool: ...
    @property
    def packed(self) -> PackedWeights: ...
    def step(self, x: Any, state: Any) -> tuple[Array, Any] | None: ...
    def sequence(self, x: Any, state: Any) -> tuple[Array, Any] | None: ...

def orthonormal_columns(matrix: Array) -> None: ...
def cell_names() -> list[str]: ...
def describe_cell(name: str) -> dict[str, int]: ...
def cell_forward(
    name: str,
    x: Array,
    weights: Sequence[Array | None],
    states: Sequence[Array | None],
    lengths: npt.NDArray[np.int64] | None,
    reset: npt.NDArray[np.bool_] | None,
    scalar: Array | None,
    numbers: Sequence[float],
    reverse: bool,
    keep: bool,
    packed: PackedWeights | None,
) -> tuple[Array, list[Array], SavedCall | None]: ...

# Ops (src/cpp/bindings/ops.cpp)

class Op:
    @property
    def name(self) -> str: ...
    @property
    def results(self) -> int: ...
    def forward(self, inputs: Sequence[Any], attributes: dict[str, Any]) -> tuple[Any, ...]: ...
    def vjp(
        self,
        inputs: Sequence[Any],
        attributes: dict[str, Any],
        outputs: Sequence[Any],
        gradients: Sequence[Any],
        wanted: Sequence[bool],
    ) -> tuple[Any, ...]: ...

def op(name: str) -> Op: ...
def op_names() -> list[str]: ...

# Optimizers (src/cpp/bindings/optim.cpp)

def optimizer_update(
    rule: str, parameter: Array, gradient: Array, state: Sequence[Array], coefficients: dict[str, float]
) -> None: ...
def sum_of_squares(values: Array) -> float: ...
