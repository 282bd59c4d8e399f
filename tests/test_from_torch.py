"""Weights from PyTorch: values, states and gradients of recurrent layers, and clear errors. Needs no PyTorch
for state dictionaries.
"""

from __future__ import annotations

import numpy as np
import pytest

import unrolled as ur
from unrolled.tensor import Tensor

T, B, I, H = 6, 3, 5, 4
# float64 throughout: sums of at most H + I products over T steps, each rounded at 1e-16
BOUND = 1e-12


def torch_or_skip():
    return pytest.importorskip("torch")


def states_of(state, kind, layers, ways):
    """Our nested state as PyTorch's (layers * ways, B, H) arrays."""
    state = state if layers > 1 else (state,)
    flat = [part for level in state for part in (level if ways == 2 else (level,))]
    names = ("h", "c") if kind == "LSTM" else ("h",)
    return [np.stack([np.asarray(getattr(part, name)) for part in flat]) for name in names]


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("kind", ["RNN", "RNN-relu", "LSTM", "LSTM-projected", "GRU"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("as_state_dict", [False, True])
def test_values_states_and_input_gradients(kind, layers, ways, bias, as_state_dict):
    torch = torch_or_skip()
    torch.manual_seed(0)
    name, _, extra = kind.partition("-")
    O = H - 1 if extra == "projected" else H
    options = {"nonlinearity": extra} if extra == "relu" else {}
    projection = {"proj_size": O} if O < H else {}
    peer = getattr(torch.nn, name)(
        I, H, layers, bias=bias, bidirectional=ways == 2, dtype=torch.float64, batch_first=False,
        **options, **projection,
    )  # fmt: skip
    ours = ur.from_torch(peer.state_dict(), **options) if as_state_dict else ur.from_torch(peer)
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, O * ways))
    x_ours = Tensor(x, requires_grad=True)
    x_peer = torch.tensor(x, requires_grad=True)
    y, state = ours(x_ours)
    y_peer, state_peer = peer(x_peer)
    np.testing.assert_allclose(np.asarray(y), y_peer.detach().numpy(), atol=BOUND)
    state_peer = state_peer if name == "LSTM" else (state_peer,)
    for found, expected in zip(states_of(state, name, layers, ways), state_peer, strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), atol=BOUND)
    y.backward(dy)
    y_peer.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(x_ours.grad, x_peer.grad.numpy(), atol=BOUND)


@pytest.mark.peer
def test_dropout_batch_first_and_independence():
    torch = torch_or_skip()
    peer = torch.nn.LSTM(I, H, 2, dropout=0.25, batch_first=True)
    with pytest.warns(UserWarning, match=r"batch_first=True; x and y are \(time, batch, features\)"):
        ours = ur.from_torch(peer)
    assert ours.dropout == 0.25 and not ours.training and ours.dtype == np.float32
    x = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
    before = np.asarray(ours(x)[0]).copy()
    expected = peer.eval()(torch.from_numpy(x.transpose(1, 0, 2).copy()))[0].detach().numpy()
    np.testing.assert_allclose(before, expected.transpose(1, 0, 2), atol=1e-6)
    with torch.no_grad():
        peer.weight_hh_l0.zero_()
    np.testing.assert_array_equal(np.asarray(ours(x)[0]), before)


@pytest.mark.peer
def test_ten_optimizer_steps_with_one_bias_frozen():
    torch = torch_or_skip()
    torch.manual_seed(0)
    peer = torch.nn.GRU(I, H, dtype=torch.float64)
    with torch.no_grad():
        peer.bias_ih_l0[2 * H :] = 0.3
    ours = ur.from_torch(peer)
    peer.bias_hh_l0.requires_grad_(True)
    frozen = torch.ones_like(peer.bias_hh_l0)
    frozen[: 2 * H] = 0  # r and z have one bias here; b_hn has its own
    peer.bias_hh_l0.register_hook(lambda gradient: gradient * frozen)
    optimizer, other = ur.Adam(ours, lr=0.05), torch.optim.Adam(peer.parameters(), lr=0.05)
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, dy = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, H))
        ours.zero_grad()
        peer.zero_grad()
        ours(x)[0].backward(dy)
        peer(torch.from_numpy(x))[0].backward(torch.from_numpy(dy))
        optimizer.step()
        other.step()
    again = ur.from_torch(peer)
    for name, tensor in again.parameters().items():
        # Adam divides by the root of the squared gradient, which magnifies rounding where a gradient is small
        np.testing.assert_allclose(ours.parameters()[name]._data, tensor._data, atol=1e-9, err_msg=name)


@pytest.mark.peer
def test_linear_and_embedding():
    torch = torch_or_skip()
    for bias in (True, False):
        peer = torch.nn.Linear(I, H, bias=bias)
        x = np.random.default_rng(0).standard_normal((B, I)).astype(np.float32)
        expected = peer(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(np.asarray(ur.from_torch(peer)(x)), expected, atol=1e-6)
    embedding = torch.nn.Embedding(7, 3)
    np.testing.assert_array_equal(ur.from_torch(embedding).W._data, embedding.weight.detach().numpy())
    with pytest.raises(ValueError, match="max_norm"):
        ur.from_torch(torch.nn.Embedding(7, 3, max_norm=1.0))


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["RNNCell", "RNNCell-relu", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_is_a_layer_that_steps(kind, bias):
    torch = torch_or_skip()
    torch.manual_seed(0)
    name, _, relu = kind.partition("-")
    options = {"nonlinearity": relu} if relu else {}
    peer = getattr(torch.nn, name)(I, H, bias=bias, dtype=torch.float64, **options)
    rng = np.random.default_rng(0)
    x, start = rng.standard_normal((B, I)), rng.standard_normal((2, B, H))
    given = tuple(torch.from_numpy(start)) if name == "LSTMCell" else torch.from_numpy(start[0])
    expected = peer(torch.from_numpy(x), given)
    expected = [part.detach().numpy() for part in (expected if name == "LSTMCell" else [expected])]
    whole = torch.nn.ModuleDict({"cell": peer})
    for ours in (
        ur.from_torch(peer),
        ur.from_torch(whole, prefix="cell"),
        ur.from_torch(peer.state_dict(), **options),
    ):
        assert type(ours).__name__ == name.removesuffix("Cell") and not ours.training
        y, state = ours.step(x, tuple(start[: len(expected)]))
        np.testing.assert_allclose(y, expected[0], atol=BOUND)
        for found, part in zip(state, expected, strict=True):
            np.testing.assert_allclose(found, part, atol=BOUND)


@pytest.mark.peer
def test_layer_norm():
    torch = torch_or_skip()
    x = np.random.default_rng(0).standard_normal((T, B, I))
    for bias in (True, False):
        peer = torch.nn.LayerNorm(I, eps=0.1, bias=bias, dtype=torch.float64)
        with torch.no_grad():
            for p in peer.parameters():
                p.uniform_()
        ours = ur.from_torch(torch.nn.Sequential(peer), prefix="0")
        assert ours.eps == 0.1 and (ours.bias is not None) == bias
        np.testing.assert_allclose(
            np.asarray(ours(x)), peer(torch.from_numpy(x)).detach().numpy(), atol=BOUND
        )
    for source, message in [
        (peer.state_dict(), "'weight' may be of a LayerNorm"),
        (torch.nn.LayerNorm(I).state_dict(), "may be of a LayerNorm; pass the module itself, which has eps"),
        (torch.nn.LayerNorm((B, I)), "a LayerNorm over 2 axes is not supported"),
        (torch.nn.LayerNorm(I, elementwise_affine=False), "LayerNorm has no parameters"),
        (torch.nn.GroupNorm(1, I), "are not those of one RNN"),
    ]:
        with pytest.raises(ValueError, match=message):
            ur.from_torch(source)


@pytest.mark.peer
def test_a_part_of_a_module_is_asked_for_its_own_settings():
    torch = torch_or_skip()
    part = torch.nn.RNN(I, H, 2, nonlinearity="relu", dropout=0.25)
    table = torch.nn.Embedding(7, I)
    whole = torch.nn.ModuleDict({"encoder": torch.nn.ModuleDict({"rnn": part}), "table": table})
    for prefix in ("encoder.rnn.", "encoder.rnn"):
        found = ur.from_torch(whole, prefix=prefix)
        assert [cell.nonlinearity for cell in found.cells] == ["relu", "relu"]
        assert found.dropout == 0.25
    assert isinstance(ur.from_torch(whole, prefix="table."), ur.Embedding)


def test_a_part_of_a_model_and_what_is_not_supported():
    torch = torch_or_skip()
    model = torch.nn.ModuleDict({"encoder": torch.nn.GRU(I, H), "head": torch.nn.Linear(H, 2)})
    state = model.state_dict()
    assert type(ur.from_torch(state, prefix="encoder.")).__name__ == "GRU"
    assert ur.from_torch(state, prefix="head.").W.shape == (2, H)
    for source, error, message in [
        (state, ValueError, "choose a part of a larger model with prefix=, here one of encoder, head$"),
        (torch.nn.LSTM(I, H).half(), TypeError, "dtype float16, expected float32 or float64"),
        (torch.nn.LSTM(I, H).bfloat16(), TypeError, r"cannot become an array .* convert with \.float"),
        (torch.nn.LSTM(I, H, device="meta"), TypeError, "cannot become an array"),
        (torch.nn.Conv1d(2, 3, 4), ValueError, "are not those of one RNN"),
        (torch.nn.ReLU(), ValueError, "ReLU has no parameters"),
        ({}, ValueError, "dict has no parameters"),
        (state, ValueError, "no name .* starts with 'decoder.'; it has encoder.weight_ih_l0"),
    ]:
        with pytest.raises(error, match=message):
            ur.from_torch(source, prefix="decoder." if "decoder" in message else "")


def state_dict(gates, suffixes=("l0",)):
    rng, state = np.random.default_rng(0), {}
    for suffix in suffixes:
        state[f"weight_ih_{suffix}"] = rng.standard_normal((gates * H, I)).astype(np.float32)
        state[f"weight_hh_{suffix}"] = rng.standard_normal((gates * H, H)).astype(np.float32)
        state[f"bias_ih_{suffix}"] = rng.standard_normal(gates * H).astype(np.float32)
        state[f"bias_hh_{suffix}"] = rng.standard_normal(gates * H).astype(np.float32)
    return state


def test_what_is_neither_a_module_nor_a_state_dictionary():
    for source in (None, 3, "model.pt"):
        with pytest.raises(TypeError, match="expected a PyTorch module or a state dictionary"):
            ur.from_torch(source)


def test_arrays_are_taken_without_pytorch():
    state = state_dict(3)
    gru = ur.from_torch(state)
    np.testing.assert_array_equal(gru.b._data[: 2 * H], (state["bias_ih_l0"] + state["bias_hh_l0"])[: 2 * H])
    np.testing.assert_array_equal(gru.b._data[2 * H :], state["bias_ih_l0"][2 * H :])
    np.testing.assert_array_equal(gru.b_hn._data, state["bias_hh_l0"][2 * H :])
    state["weight_hh_l0"][:] = 0
    assert gru.W_hh._data.all()
    assert ur.from_torch(state_dict(1), nonlinearity="relu").nonlinearity == "relu"
    named = {f"{name}.{key}": value for name in ("rnn2", "rnn") for key, value in state_dict(3).items()}
    assert type(ur.from_torch(named, prefix="rnn")).__name__ == "GRU"
    underlined = {f"rnn_{key}": value for key, value in state_dict(3).items()}
    assert type(ur.from_torch(underlined, prefix="rnn_")).__name__ == "GRU"
    both = ur.from_torch(state_dict(4, ("l0", "l0_reverse")))
    assert type(both).__name__ == "Bidirectional" and both.output_size == 2 * H


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ur.from_torch(3),
            TypeError,
            "source is int, expected a PyTorch module or a state dictionary",
        ),
        (lambda: ur.from_torch(state_dict(4), prefix="x."), ValueError, "starts with 'x.'"),
        (lambda: ur.from_torch(state_dict(2)), ValueError, r"weight_hh_l0 has shape \(8, 4\)"),
        (lambda: ur.from_torch(without(state_dict(4), "weight_hh_l0")), ValueError, "no matrix weight_hh_l0"),
        (lambda: ur.from_torch(without(state_dict(4), "bias_hh_l0")), ValueError, "bias_hh_l0 is missing"),
        (lambda: ur.from_torch(state_dict(4, ("l0", "l2"))), ValueError, "weight_ih_l1.* is missing"),
        (
            lambda: ur.from_torch({"weight": np.zeros((2, 3))}),
            ValueError,
            "may be of a Linear or of an Embedding",
        ),
        (lambda: ur.from_torch({"weight": np.zeros((2, 3), int)}), TypeError, "'weight' has dtype int64"),
        (lambda: ur.from_torch({"weight": "x"}), TypeError, "'weight' cannot become an array"),
    ],
)
def test_bad_state_dictionaries(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_pytorch_is_not_imported():
    import subprocess
    import sys

    code = "import sys, unrolled; assert not {'torch', 'tqdm', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.peer
def test_what_is_frozen_as_a_whole_stays_so():
    torch = torch_or_skip()
    peer = torch.nn.Sequential(torch.nn.LSTM(I, H), torch.nn.Linear(H, 2))
    peer[0].requires_grad_(False)
    assert not any(p.requires_grad for p in ur.from_torch(peer, prefix="0").parameters().values())
    assert all(p.requires_grad for p in ur.from_torch(peer[1]).parameters().values())
    peer[1].bias.requires_grad_(False)
    with pytest.warns(UserWarning, match=r"1\.bias had requires_grad=False"):
        assert all(p.requires_grad for p in ur.from_torch(peer, prefix="1").parameters().values())


@pytest.mark.peer
def test_nonlinearity_is_that_of_the_module():
    torch = torch_or_skip()
    relu = torch.nn.RNN(I, H, nonlinearity="relu")
    assert ur.from_torch(relu).nonlinearity == ur.from_torch(relu, nonlinearity="relu").nonlinearity == "relu"
    assert ur.from_torch(relu.state_dict(), nonlinearity="relu").nonlinearity == "relu"
    for source, given, message in [
        (relu, "tanh", "nonlinearity is 'tanh', but the module has 'relu'"),
        (torch.nn.RNNCell(I, H), "relu", "nonlinearity is 'relu', but the module has 'tanh'"),
        (torch.nn.LSTM(I, H), "tanh", "which a layer of kind LSTM does not take"),
        (relu, "sigmoid", "expected 'tanh', 'relu' or None"),
    ]:
        with pytest.raises(ValueError, match=message):
            ur.from_torch(source, nonlinearity=given)
