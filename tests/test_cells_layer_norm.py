"""Layer normalisation inside the cells, on rows whose moments are hard to sum in float32."""

import numpy as np
import pytest

import unrolled as ur

CELLS = ["LayerNormRNN", "LayerNormLSTM", "LayerNormGRU"]
T, B, I, H = 12, 3, 6, 37


def outputs(name, change, dtype):
    """What a cell gives in one type of scalars, after a change of its input weights."""
    cell = getattr(ur, name)(I, H, dtype=dtype, rng=np.random.default_rng(3))
    change(cell.W_ih.data)
    x = np.random.default_rng(5).normal(size=(T, B, I)).astype(dtype)
    x[..., 0] = 1
    with ur.no_grad():
        y, _ = cell(x)
    return np.asarray(y)


def first_unit_far_away(W):
    W[0, 0] = 3e3


def all_units_far_from_zero(W):
    W[:, 0] = 1e3


def one_unit_far_away(W):
    W[-1, 0] = -3e3


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("change", [first_unit_far_away, all_units_far_from_zero, one_unit_far_away])
def test_rows_far_from_zero(name, change):
    exact = outputs(name, change, np.float64)
    found = outputs(name, change, np.float32)
    # The sums W x themselves round to 6e-8 of 1000; what is left of them has a deviation near 1.
    np.testing.assert_allclose(found, exact, atol=2e-3)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_units(name, dtype):
    """No deviation at all: normalised they are zeros, not a division by nothing."""

    def equal(W):
        W[:] = 0.25

    y = outputs(name, equal, dtype)
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y, outputs(name, lambda W: W.fill(0), dtype), atol=1e-4)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [0, H // 2, H - 1, 5])
def test_an_infinite_sum_shows_in_all_units_of_its_row(name, dtype, unit):
    def infinite(W):
        W[unit, 0] = np.inf

    first = outputs(name, infinite, dtype)[0]  # later steps read the state of this one
    assert np.isnan(first).all()


@pytest.mark.parametrize("dtype, bound", [(np.float32, 4e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("outlier", [0, 256, 511])
def test_one_unit_far_from_a_wide_row(dtype, bound, outlier):
    """The outlier is not what distances are measured from, wherever it lies."""
    units = 512
    cell = ur.LayerNormRNN(1, units, dtype=dtype, rng=np.random.default_rng(1))
    r = 0.01 * np.random.default_rng(2).normal(size=units).astype(dtype)
    r[outlier] = 10
    cell.W_ih.data[:, 0] = r
    with ur.no_grad():
        y = np.asarray(cell(np.ones((1, 1, 1), dtype))[0])[0, 0]
    wide = r.astype(np.longdouble)
    exact = np.tanh((wide - wide.mean()) / np.sqrt(wide.var() + 1e-5))
    np.testing.assert_allclose(y, exact.astype(np.float64), rtol=0, atol=bound)
