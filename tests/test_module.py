"""Module: parameters found, frozen, loaded, copied, described; configurations and building again."""

from __future__ import annotations

import copy
import itertools
import json
import pickle

import numpy as np
import pytest

from unrolled.module import Module
from unrolled.registry import decode, encode
from unrolled.tensor import Tensor


class Affine(Module):
    def __init__(self, inputs: int, outputs: int, *, scale: float = 1.0, dtype=np.float32, rng=None):
        rng = np.random.default_rng() if rng is None else rng
        self.W = Tensor((scale * rng.standard_normal((outputs, inputs))).astype(dtype), requires_grad=True)
        self.b = Tensor(np.zeros(outputs, dtype), requires_grad=True)

    def forward(self, x):
        return np.asarray(x) @ self.W._data.T + self.b._data


class Net(Module):
    def __init__(self, sizes, names=(), *, first=None, rng=None):
        self.first = Affine(sizes[0], sizes[1], rng=rng) if first is None else first
        self.rest = [Affine(a, b, rng=rng) for a, b in itertools.pairwise(sizes[1:])]
        self.heads = {name: Affine(sizes[-1], 1, rng=rng) for name in names}


def make_net() -> Net:
    return Net([3, 4, 5], names=["mean", "spread"], rng=np.random.default_rng(0))


def test_parameters_are_found_through_containers_in_order():
    assert list(make_net().parameters()) == [
        "first.W", "first.b", "rest.0.W", "rest.0.b",
        "heads.mean.W", "heads.mean.b", "heads.spread.W", "heads.spread.b",
    ]  # fmt: skip
    assert make_net().num_parameters == 12 + 4 + 20 + 5 + 2 * 6


def test_call_is_forward_and_forward_must_be_defined():
    affine = Affine(2, 1)
    np.testing.assert_array_equal(affine(np.zeros((5, 2), np.float32)), np.zeros((5, 1)))
    with pytest.raises(NotImplementedError, match="Net does not define forward"):
        make_net()(1)


def test_two_parameters_of_one_name_are_refused():
    class Tables(Module):
        def __init__(self):
            self.tables = {1: Affine(2, 2), "1": Affine(2, 2)}

    with pytest.raises(ValueError, match=r"Tables: two parameters are called 'tables\.1\.W'"):
        Tables().parameters()


def test_tied_parameter_appears_once_under_its_first_name():
    net = Net([4, 4, 4])
    net.rest[0].W = net.first.W
    assert list(net.parameters()) == ["first.W", "first.b", "rest.0.b"]
    assert net.ties() == {"rest.0.W": "first.W"}
    assert "W: shared" in repr(net)


def test_a_module_inside_itself_is_no_endless_loop():
    net = make_net()
    net.first.owner = net
    assert len(net.parameters()) == 8
    assert len(net.modules()) == 5


def test_stored_results_are_not_parameters():
    affine = Affine(2, 2)
    affine.last = affine.W + affine.W
    assert affine.last.requires_grad
    assert list(affine.parameters()) == ["W", "b"]


@pytest.mark.parametrize("value", ["result", "constant", "array"])
def test_a_parameter_is_not_lost_to_what_is_none(value):
    layer = Affine(2, 3)
    if value == "result":
        with pytest.raises(TypeError, match=r"Affine: W is a parameter.*; write W\.data\[\.\.\.\] = values"):
            layer.W -= Tensor(np.ones((3, 2), np.float32))
    else:
        array = np.ones((3, 2), np.float32)
        with pytest.raises(TypeError, match="W is a parameter"):
            layer.W = Tensor(array) if value == "constant" else array
    assert list(layer.parameters()) == ["W", "b"]
    layer.W = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
    layer.b = None
    layer.scale = Tensor(np.float32(1), requires_grad=True)
    with pytest.raises(TypeError, match="scale is a parameter, got float32 that is none"):
        layer.scale = layer.scale.data - np.float32(0.5)
    layer.freeze("scale").scale = Tensor(np.float32(3))
    assert list(layer.parameters()) == ["W", "scale"] and not layer.scale.requires_grad
    del layer.scale
    layer.seen = Tensor(np.ones(2, np.float32))
    layer.seen = layer.seen + 1
    assert list(layer.parameters()) == ["W"]


def test_train_and_eval_reach_every_module():
    net = make_net()
    assert net.training and net.eval() is net
    assert [m.training for m in net.modules().values()] == [False] * 5
    net.train()
    assert [m.training for m in net.modules().values()] == [True] * 5


def test_freeze_by_pattern_keeps_the_parameter():
    net = make_net()
    names = list(net.parameters())
    net.first.W.grad = np.ones_like(net.first.W._data)
    net.freeze("first.*")
    assert [n for n, t in net.parameters().items() if not t.requires_grad] == ["first.W", "first.b"]
    assert net.first.W.grad is None
    assert list(net.parameters()) == names
    assert "W (4, 3) float32 frozen" in repr(net)
    net.unfreeze()
    assert all(t.requires_grad for t in net.parameters().values())
    net.first.W.requires_grad = False  # by hand
    assert list(net.parameters()) == names


def test_freeze_with_a_pattern_of_nothing_is_an_error():
    with pytest.raises(
        ValueError, match=r"pattern 'frist.*' matches no parameter; the parameters are first.W, first.b"
    ):
        make_net().freeze("frist.*")
    with pytest.raises(TypeError, match="pattern is 3, expected a text or None"):
        make_net().freeze(3)


def test_zero_grad():
    net = make_net()
    net.first.b.grad = np.ones(4, np.float32)
    net.zero_grad()
    assert net.first.b.grad is None


def test_load_parameters_copies_and_marks_the_change():
    source, target = make_net(), Net([3, 4, 5], names=["mean", "spread"])
    version = target.first.W._version
    report = target.load_parameters(source.parameters())
    assert report == ((), ())
    for name, tensor in target.parameters().items():
        np.testing.assert_array_equal(tensor._data, source.parameters()[name]._data)
        assert not np.shares_memory(tensor._data, source.parameters()[name]._data)
    assert target.first.W._version > version


def test_load_parameters_strict_names_what_differs_and_changes_nothing():
    net = make_net()
    before = {name: t._data.copy() for name, t in net.parameters().items()}
    values = {name: np.zeros_like(array) for name, array in before.items()}
    del values["rest.0.b"]
    values["other"] = np.zeros(1)
    with pytest.raises(ValueError, match=r"no value for rest.0.b; no parameter for other"):
        net.load_parameters(values)
    values["heads.spread.b"] = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"'heads.spread.b' has shape \(1,\), got \(3,\)"):
        net.load_parameters(values, strict=False)
    values["heads.spread.b"] = np.zeros(1, np.float64)
    with pytest.raises(TypeError, match=r"'heads.spread.b' has dtype float32, got float64"):
        net.load_parameters(values, strict=False)
    for name, tensor in net.parameters().items():
        np.testing.assert_array_equal(tensor._data, before[name])


def test_load_parameters_partly():
    net = make_net()
    report = net.load_parameters({"first.b": np.full(4, 7, np.float32), "x": np.zeros(1)}, strict=False)
    assert report.unexpected == ("x",) and "first.W" in report.missing and "first.b" not in report.missing
    assert (net.first.b._data == 7).all()


def test_load_parameters_takes_a_tied_value_under_either_name():
    for name in ("first.W", "rest.0.W"):
        net = Net([4, 4, 4])
        net.rest[0].W = net.first.W
        values = {"first.b": np.zeros(4, np.float32), "rest.0.b": np.zeros(4, np.float32)}
        net.load_parameters({**values, name: np.full((4, 4), 2, np.float32)})
        assert (net.first.W._data == 2).all()


@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_independent_without_gradients_and_keep_ties(how):
    net = make_net().freeze("heads.mean.W").eval()
    net.rest[0].extra = net.first.W
    net.first.W.grad = np.ones((4, 3), np.float32)
    twin = how(net)
    assert list(twin.parameters()) == list(net.parameters())
    assert twin.ties() == net.ties() == {"rest.0.extra": "first.W"}
    assert twin.first.W.grad is None and twin.first.W.requires_grad
    assert not twin.parameters()["heads.mean.W"].requires_grad
    assert not twin.training and twin.config() == net.config()
    twin.first.W._data[...] = 9
    assert not (net.first.W._data == 9).any()


def test_repr_shows_shapes_and_counts():
    assert repr(Net([3, 4], rng=np.random.default_rng(0))) == (
        "Net(): 16 parameters\n"
        "  first: Affine(inputs=3, outputs=4): 16 parameters\n"
        "    W (4, 3) float32\n"
        "    b (4,) float32"
    )


def test_configuration_is_captured_and_is_json():
    net = Net(
        [3, np.int64(4)],
        names=("a",),
        first=Affine(3, 4, scale=0.5, dtype=np.float64),
        rng=np.random.default_rng(0),
    )
    config = json.loads(json.dumps(net.config()))
    assert config["@class"] == "Net"
    assert config["arguments"]["sizes"] == [3, 4]
    assert config["arguments"]["first"]["arguments"] == {
        "inputs": 3, "outputs": 4, "scale": 0.5, "dtype": {"@dtype": "float64"},
    }  # fmt: skip
    again = decode(config)
    assert type(again) is Net and again.first.W.dtype == np.float64 and list(again.heads) == ["a"]
    assert again.config() == config


def test_configuration_is_that_of_construction():
    sizes = [3, 4]
    net = Net(sizes)
    sizes.append(5)
    assert net.config()["arguments"]["sizes"] == [3, 4]


class Pair(Module):
    def __init__(self, *parts, **options):
        self.parts = list(parts)
        self.options = options


def test_a_shared_module_stays_shared_and_star_arguments_work():
    affine = Affine(2, 2)
    pair = decode(json.loads(json.dumps(Pair(affine, affine, mode="x", limit=float("inf")).config())))
    assert pair.parts[0] is pair.parts[1]
    assert pair.options == {"mode": "x", "limit": float("inf")}


@pytest.mark.parametrize(
    "value", [{"a": (1, [2.5, None])}, {1: "x", (2, 3): True}, {"@odd": 1}, float("-inf"), "ß\n"]
)
def test_values_survive_encoding(value):
    assert decode(json.loads(json.dumps(encode(value), allow_nan=False))) == value


def test_what_cannot_be_stored_is_named():
    class Holder(Module):
        def __init__(self, function=None, array=None, *, table=()):
            pass

    class Needs(Module):
        def __init__(self, array):
            pass

    with pytest.raises(TypeError, match=r"Holder: argument 'function' is of type function"):
        Holder(lambda x: x).config()
    with pytest.raises(TypeError, match=r"Needs: argument 'array' is of type ndarray, .* needs a default"):
        Needs(np.zeros(3)).config()
    assert Holder(array=np.zeros(3)).config()["arguments"] == {}
    for table in ([np.zeros(3)], (1, np.zeros(3)), {"a": {"b": np.zeros(3)}}):
        with pytest.raises(
            TypeError, match=r"Holder: argument 'table'\[.* is of type ndarray, which a config"
        ):
            Holder(table=table).config()
    with pytest.raises(TypeError, match=r"Pair: argument \*parts\[1\] is of type ndarray, which a config"):
        Pair(1, np.zeros(3)).config()
    assert Pair(1, rng=np.random.default_rng(), mode="x").config()["arguments"] == {
        "*": [1],
        "**": {"mode": "x"},
    }


def test_only_registered_classes_are_built():
    with pytest.raises(ValueError, match=r"class 'os.system' is not known here"):
        decode({"@class": "os.system", "@module": "os", "arguments": {}})
    with pytest.raises(
        ValueError, match=r"Affine cannot be built from the stored configuration: .*unexpected keyword"
    ):
        decode(
            {"@class": "Affine", "@module": __name__, "arguments": {"inputs": 1, "outputs": 1, "colour": 3}}
        )


def test_classes_of_one_name_are_told_apart_by_module():
    twin = type("Affine", (Module,), {"__module__": "elsewhere"})
    try:
        assert type(decode({"@class": "Affine", "@module": "elsewhere", "arguments": {}})) is twin
        with pytest.raises(ValueError, match="defined in several modules"):
            decode({"@class": "Affine", "@module": "nowhere", "arguments": {}})
    finally:
        from unrolled import registry

        del registry._CLASSES["Affine"]["elsewhere"]


def test_the_mode_is_true_or_false():
    module = Module()
    for wrong in ("x", 1, None):
        with pytest.raises(TypeError, match=r"Module: mode is .*, expected True or False"):
            module.train(wrong)
    assert module.train(np.False_).training is False
