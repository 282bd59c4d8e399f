"""Types of the native module, which exists once per ISA level (see _native.py)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

__isa__: str

def get_num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def build_config() -> dict[str, Any]: ...

# The tape (src/cpp/bindings/constants.cpp, grad_mode.cpp, tape_record.cpp, tape_walk.cpp)

class Wrapper:
    def __init__(self, type: type[Any], rest: dict[str, Any]) -> None: ...
    def function(self) -> Callable[[Any], Any]: ...

class GradMode:
    wanted: bool
    def __init__(self, wanted: bool) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

def is_grad_enabled() -> bool: ...

class TapeRecord:
    def __init__(
        self,
        tensor: type[Any],
        node: type[Any],
        wrapper: Wrapper,
        numbers: Any,
        note_view: Callable[..., None],
    ) -> None: ...
    def functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]: ...

class TapeWalk:
    def __init__(
        self,
        leaf: type[Any],
        node: type[Any],
        refuse_what_is_written: Callable[..., None],
        with_partial: Callable[..., Any],
    ) -> None: ...
    def function(self) -> Callable[..., None]: ...

def is_like(object: Any, array: Array) -> bool: ...

# Cells (src/cpp/bindings/recurrent.cpp, stepper.cpp)

class PackedWeights: ...
class ResultMemory: ...

class SavedCall:
    def slot(self, k: int) -> Array: ...
    def stream(self, k: int) -> Array: ...

class Recorder:
    def __init__(
        self,
        kernel: str,
        dtype: np.dtype[Any],
        numbers: Sequence[float],
        tape: TapeRecord,
        name: str,
        state_type: type[Any],
    ) -> None: ...
    @property
    def record(self) -> Callable[..., tuple[Any, Any] | None]: ...

class Stepper:
    def __init__(
        self,
        name: str,
        tensors: list[Any],
        state_type: Any,
        numbers: Sequence[float],
        regular: Sequence[float],
        cell: Any,
        tape: TapeRecord,
    ) -> None: ...
    def unchanged(self) -> bool: ...
    @property
    def packed(self) -> PackedWeights: ...
    def kept(self) -> tuple[list[Any], PackedWeights] | None: ...
    def step(self, x: Any, state: Any) -> tuple[Array, Any] | None: ...
    def sequence(self, x: Any, state: Any, reverse: bool) -> tuple[Any, Any] | None: ...

class PackedLinear:
    def __init__(self, W: Any, b: Any, layer: Any, tape: TapeRecord) -> None: ...
    def unchanged(self) -> bool: ...
    @property
    def product(self) -> Callable[[Any], Any]: ...

def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> Array: ...
def owner_of(array: Any) -> Any: ...
def record_stack(
    x: Any,
    recorders: Sequence[Recorder],
    states: Sequence[Any],
    tensors: Sequence[list[Any]],
    packed: Sequence[PackedWeights | Callable[[], PackedWeights | None] | None],
) -> tuple[Any, tuple[Any, ...]] | None: ...
def record_beside(
    x: Any,
    recorders: Sequence[Recorder],
    states: Sequence[Any],
    tensors: Sequence[list[Any]],
    reverse: Sequence[bool],
    packed: Sequence[PackedWeights | Callable[[], PackedWeights | None] | None],
    columns: int,
) -> tuple[list[Any], list[Any]] | None: ...
def orthonormal_columns(matrix: Array) -> None: ...
def cell_names() -> list[str]: ...
def has_cell(name: str) -> bool: ...
def cells_forward(calls: Sequence[Any]) -> list[tuple[Array, list[Array], SavedCall | None]]: ...
def cells_backward(
    calls: Sequence[tuple[Any, ...]],
) -> list[tuple[Array | None, list[Array], list[Array | None], Array | None, list[Array]]]: ...
def side_by_side(
    x: Any, steppers: Sequence[Stepper], states: Sequence[Any], reverse: Sequence[bool], columns: int
) -> tuple[list[Any], list[Any]] | None: ...
def stacked(
    x: Any, steppers: Sequence[Stepper], states: Sequence[Any]
) -> tuple[Array, tuple[Any, ...]] | None: ...

# Ops (src/cpp/bindings/ops.cpp)

class Op:
    @property
    def name(self) -> str: ...
    @property
    def results(self) -> int: ...
    def forward(
        self,
        inputs: Sequence[Any],
        attributes: Mapping[str, Any],
        keep: bool = True,
        prepared: PreparedOp | None = None,
    ) -> tuple[Any, ...]: ...
    def vjp(
        self,
        inputs: Sequence[Any],
        attributes: dict[str, Any],
        outputs: Sequence[Any],
        gradients: Sequence[Any],
        wanted: Sequence[bool],
    ) -> tuple[Any, ...]: ...

class PreparedOp:
    def __init__(self, op: Op, tensors: Sequence[Any], attributes: Mapping[str, Any]) -> None: ...
    def serves(self, tensors: Sequence[Any]) -> bool: ...

def op(name: str) -> Op: ...
def op_names() -> list[str]: ...

# Optimizers (src/cpp/bindings/optim.cpp)

def optimizer_update(
    rule: str,
    parts: Sequence[tuple[Array, Array, Array | None, Sequence[Array]]],
    coefficients: Mapping[str, float],
) -> None: ...
def sums_of_squares(arrays: Sequence[Array]) -> list[float]: ...
