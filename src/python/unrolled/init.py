"""Initial values: orthogonal, Glorot, He, uniform, normal, zeros, and the bias of forget gates.

Every function takes a target and fills it in place: a Tensor, a mapping of names to Tensors, or a Module (all
its parameters). `ur.init.uniform(model, -0.08, 0.08, rng=rng)` sets a whole model. Functions that speak of
rows and columns (orthogonal, Glorot, He) fill matrices and leave vectors of a Module or mapping as they are.
The functions whose names end in `_values` return a new array instead, for constructors.

What has to stay above 0, as the time constants of `CTRNN`, is no weight: it keeps its values when a Module is filled.
In a mapping or by itself it is filled as well, and put back to its bound as optimizers do.

A matrix has shape (outputs, inputs). `blocks` is the number of gates stacked along its rows: each is
initialised by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from unrolled import checks
from unrolled._native import core
from unrolled.module import Module
from unrolled.tensor import Tensor

Target = Tensor | Module | Mapping[str, Tensor]
Shape = tuple[int, ...]

_orthogonal = ContextVar("orthogonal", default=True)


@contextmanager
def unfinished() -> Iterator[None]:
    """Within it matrices are drawn, but not made orthogonal, which takes most of the time of a constructor: for models
    whose values are about to be overwritten.
    """
    before = _orthogonal.set(False)
    try:
        yield
    finally:
        _orthogonal.reset(before)


def orthogonal_values(
    shape: Shape,
    *,
    blocks: int = 1,
    gain: float = 1.0,
    rng: np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> np.ndarray:
    """Each block is a random orthogonal matrix times `gain` (Saxe et al. 2014); not square: orthonormal rows
    or columns.

    The QR factors of a Gaussian matrix, signs chosen so that the diagonal of R is positive (uniform over the
    group).
    """
    rng = checks.generator("orthogonal", rng)
    rows, columns = _matrix("orthogonal", shape, blocks)
    result = np.empty(shape, dtype)
    for block in range(blocks):
        q = rng.standard_normal((max(rows, columns), min(rows, columns)))
        if _orthogonal.get():
            core.orthonormal_columns(q)
        result[block * rows : (block + 1) * rows] = gain * (q if rows >= columns else q.T)
    return result


def glorot_uniform_values(
    shape: Shape,
    *,
    blocks: int = 1,
    gain: float = 1.0,
    rng: np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> np.ndarray:
    """Uniform in +-gain sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010), outputs counted per block."""
    rows, columns = _matrix("glorot_uniform", shape, blocks)
    return _uniform(shape, gain * math.sqrt(6 / max(rows + columns, 1)), rng, dtype)


def glorot_normal_values(
    shape: Shape,
    *,
    blocks: int = 1,
    gain: float = 1.0,
    rng: np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> np.ndarray:
    """Normal with deviation gain sqrt(2 / (inputs + outputs)) (Glorot and Bengio 2010), outputs counted per
    block.
    """
    rows, columns = _matrix("glorot_normal", shape, blocks)
    return _normal(shape, gain * math.sqrt(2 / max(rows + columns, 1)), rng, dtype)


def he_uniform_values(
    shape: Shape,
    *,
    gain: float = math.sqrt(2),
    rng: np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> np.ndarray:
    """Uniform in +-gain sqrt(3 / inputs) (He et al. 2015)."""
    return _uniform(shape, gain * math.sqrt(3 / max(_matrix("he_uniform", shape, 1)[1], 1)), rng, dtype)


def he_normal_values(
    shape: Shape,
    *,
    gain: float = math.sqrt(2),
    rng: np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> np.ndarray:
    """Normal with deviation gain / sqrt(inputs) (He et al. 2015)."""
    return _normal(shape, gain / math.sqrt(max(_matrix("he_normal", shape, 1)[1], 1)), rng, dtype)


def _matrix(who: str, shape: Shape, blocks: int) -> tuple[int, int]:
    """Rows per block and columns."""
    if len(shape) != 2:
        raise ValueError(f"{who}: shape is {tuple(shape)}, expected two dimensions (outputs, inputs)")
    if shape[0] % checks.size(who, "blocks", blocks):
        raise ValueError(f"{who}: {shape[0]} rows cannot be cut into {blocks} equal blocks")
    return shape[0] // blocks, shape[1]


def _uniform(shape: Shape, bound: float, rng: np.random.Generator | None, dtype: Any) -> np.ndarray:
    return checks.generator("uniform", rng).uniform(-bound, bound, shape).astype(dtype)


def _normal(shape: Shape, deviation: float, rng: np.random.Generator | None, dtype: Any) -> np.ndarray:
    return (deviation * checks.generator("normal", rng).standard_normal(shape)).astype(dtype)


def _fill(
    who: str, target: Target, values: Callable[[Tensor, int], np.ndarray], matrices_only: bool = False
) -> None:
    """Fills the parameters of a target with `values(tensor, blocks)` in the order of their names as given, so that one
    generator gives one model.
    """
    for tensor, blocks in _chosen(who, target, matrices_only):
        tensor._data[...] = values(tensor, blocks)
        least = getattr(tensor, "_least", None)
        if least is not None:
            np.maximum(tensor._data, least, out=tensor._data)
        tensor.touch()


def _chosen(who: str, target: Target, matrices_only: bool) -> list[tuple[Tensor, int]]:
    """What to fill, and how many blocks its owner says that it has; 1 where there is no owner to ask."""
    if isinstance(target, Tensor):
        return [(target, 1)]
    if not isinstance(target, (Module, Mapping)):
        raise TypeError(
            f"{who}: target is {type(target).__name__}, expected a Tensor, a Module or a mapping of Tensors"
        )
    named = target.parameters() if isinstance(target, Module) else target
    owners = target.modules() if isinstance(target, Module) else {}
    chosen = []
    for name, tensor in named.items():
        owner, _, attribute = name.rpartition(".")
        kept = isinstance(target, Module) and getattr(tensor, "_least", 0) > 0
        if not kept and (tensor.ndim == 2 or not matrices_only):
            chosen.append((tensor, owners[owner]._gate_blocks(attribute) if owner in owners else 1))
    return chosen


def _fill_matrices(
    values: Callable[..., np.ndarray], target: Target, rng: np.random.Generator | None, **options: Any
) -> None:
    """Fills the matrices of a target with `values(shape, rng=, dtype=, **options)`, a function named `..._values`."""
    who = values.__name__.removesuffix("_values")
    rng = checks.generator(who, rng)
    _fill(who, target, lambda t, _: values(t.shape, rng=rng, dtype=t.dtype, **options), matrices_only=True)


def orthogonal(
    target: Target, *, gain: float = 1.0, blocks: int | None = None, rng: np.random.Generator | None = None
) -> None:
    """Orthogonal blocks, see `orthogonal_values`. `blocks=None`: for a Module one for each gate of its cells; for a
    Tensor or a mapping, which do not know of gates, one for each matrix.
    """
    rng = checks.generator("orthogonal", rng)

    def values(tensor: Tensor, own: int) -> np.ndarray:
        stacked = own if blocks is None else blocks
        return orthogonal_values(tensor.shape, blocks=stacked, gain=gain, rng=rng, dtype=tensor.dtype)

    _fill("orthogonal", target, values, matrices_only=True)


def glorot_uniform(
    target: Target, *, gain: float = 1.0, blocks: int = 1, rng: np.random.Generator | None = None
) -> None:
    """See `glorot_uniform_values`."""
    _fill_matrices(glorot_uniform_values, target, rng, blocks=blocks, gain=gain)


def glorot_normal(
    target: Target, *, gain: float = 1.0, blocks: int = 1, rng: np.random.Generator | None = None
) -> None:
    """See `glorot_normal_values`."""
    _fill_matrices(glorot_normal_values, target, rng, blocks=blocks, gain=gain)


def he_uniform(target: Target, *, gain: float = math.sqrt(2), rng: np.random.Generator | None = None) -> None:
    """See `he_uniform_values`."""
    _fill_matrices(he_uniform_values, target, rng, gain=gain)


def he_normal(target: Target, *, gain: float = math.sqrt(2), rng: np.random.Generator | None = None) -> None:
    """See `he_normal_values`."""
    _fill_matrices(he_normal_values, target, rng, gain=gain)


def uniform(target: Target, low: float, high: float, *, rng: np.random.Generator | None = None) -> None:
    """Uniform in [low, high), every parameter: `uniform(model, -0.08, 0.08)`."""
    if not low <= high:
        raise ValueError(f"uniform: low is {low}, high is {high}, expected low <= high")
    generator = checks.generator("uniform", rng)
    _fill("uniform", target, lambda t, _: generator.uniform(low, high, t.shape))


def normal(
    target: Target, deviation: float, *, mean: float = 0.0, rng: np.random.Generator | None = None
) -> None:
    """Normal with the given mean and deviation, every parameter."""
    generator = checks.generator("normal", rng)
    _fill("normal", target, lambda t, _: generator.normal(mean, deviation, t.shape))


def zeros(target: Target) -> None:
    """Zero, every parameter."""
    _fill("zeros", target, lambda t, _: np.zeros(t.shape, t.dtype))


def forget_bias(module: Module, value: float = 1.0) -> None:
    """Sets the bias of every gate in the module that keeps the past, a forget gate by this or another name (Gers et
    al. 2000; Jozefowicz et al. 2015 advise 1). Where the gate takes the new, as that of `MGU`, its bias becomes
    `-value`: a higher value always keeps more.
    """
    value = checks.number("forget_bias", "value", value)
    found = [part._set_forget_bias(value) for part in module.modules().values()]
    if not any(found):
        raise ValueError(f"forget_bias: {type(module).__name__} has no cell with a forget gate and a bias")
