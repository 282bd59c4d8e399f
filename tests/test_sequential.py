"""Sequential: what belongs to the steps of a sequence reaches every layer that takes it, or is refused."""

import numpy as np
import pytest

import unrolled as ur


def test_lengths_reach_layers_over_images():
    rng = np.random.default_rng(0)
    for layer in (
        ur.MultiDimensionalLSTM(2, 3, rng=rng),
        ur.MultiDirectional([ur.MultiDimensionalLSTM(2, 3, rng=rng) for _ in range(4)]),
    ):
        x = rng.standard_normal((4, 5, 2, 2)).astype(np.float32)
        sizes = np.array([[2, 5], [4, 1]])
        wanted = np.asarray(layer(x, sizes))
        assert not np.array_equal(wanted, layer(x))
        np.testing.assert_array_equal(
            ur.Sequential(layer, ur.Sequential(ur.tanh))(x, lengths=sizes), ur.tanh(wanted)
        )


@pytest.mark.parametrize("lengths", [[3, 2], [6, 2]])
def test_an_inner_pyramid_shortens_what_comes_after_it(lengths):
    rng = np.random.default_rng(0)
    pyramid = ur.Pyramid([ur.RNN(2, 3, rng=rng), ur.RNN(6, 3, rng=rng)])
    last = ur.LSTM(3, 2, rng=rng)
    x = rng.standard_normal((6, 2, 2)).astype(np.float32)
    reset = np.zeros((6, 2), bool)
    reset[2, 0] = True
    flat, nested = ur.Sequential(pyramid, last), ur.Sequential(ur.Sequential(pyramid), last)
    sides = {"lengths": lengths, "reset": reset}
    np.testing.assert_array_equal(nested(x, **sides), flat(x, **sides))


def test_an_inner_pyramid_without_dt_joins_it_for_those_behind():
    rng = np.random.default_rng(0)
    pyramid = ur.Pyramid([ur.RNN(2, 3, rng=rng), ur.RNN(6, 3, rng=rng)])
    last = ur.CTRNN(3, 2, rng=rng)
    x, dt = rng.standard_normal((6, 2, 2)).astype(np.float32), rng.uniform(0.1, 0.5, 6)
    nested = ur.Sequential(ur.Sequential(pyramid), last)
    np.testing.assert_array_equal(nested(x, dt=dt), ur.Sequential(pyramid, last)(x, dt=dt))


def test_lengths_change_nothing_where_positions_are_alone():
    model, x = ur.Sequential(ur.Linear(2, 2), ur.tanh), np.ones((3, 2, 2), np.float32)
    np.testing.assert_array_equal(model(x, lengths=[3, 1]), model(x))


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        (ur.Sequential(ur.Linear(2, 2), ur.Sequential(ur.Dropout())), "Linear, Sequential"),
        (ur.Sequential(ur.MultiDimensionalLSTM(2, 2)), "MultiDimensionalLSTM"),
    ],
)
def test_resets_that_no_layer_takes_are_refused(model, kinds):
    with pytest.raises(
        TypeError, match=rf"Sequential: reset is given, .* no layer inside has an initial_state \({kinds}\)"
    ):
        model(np.zeros((3, 2, 2), np.float32), reset=np.zeros((3, 2), bool))


def test_an_inner_sequence_with_a_call_of_its_own_is_called():
    class Residual(ur.Sequential):
        def forward(self, x, **beside):
            return x + super().forward(x, **beside)

    inner, x = Residual(ur.Linear(3, 3, rng=np.random.default_rng(0))), np.ones((2, 1, 3), np.float32)
    np.testing.assert_array_equal(ur.Sequential(inner)(x), inner(x))


def test_a_list_of_layers_does_as_well(tmp_path):
    rng = np.random.default_rng(0)
    layers, x = [ur.GRU(3, 4, rng=rng), ur.Linear(4, 2, rng=rng)], np.ones((2, 1, 3), np.float32)
    wanted = np.asarray(ur.Sequential(*layers)(x))
    model = ur.Sequential(layers)
    layers.clear()
    np.testing.assert_array_equal(model(x), wanted)
    ur.save(model, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(ur.load(tmp_path / "model.safetensors")(x), wanted)
    assert len(ur.Sequential((ur.ops.tanh, ur.ops.exp))) == 2
