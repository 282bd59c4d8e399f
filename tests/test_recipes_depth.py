"""Recipes about depth: the networks they make, and the images one of them reads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import unrolled as ur
from unrolled import recipes
from unrolled.recipes import highway_depth, parity


def write_images(path, rng, names=("x_train", "y_train", "x_test", "y_test")):
    """Ten classes of 6 x 6 pixels, of which each is a bright row or column and noise."""

    def images(count):
        classes = np.arange(count) % 10
        pixels = rng.integers(0, 60, (count, 6, 6))
        for image, kind in zip(pixels, classes, strict=True):
            (image if kind < 5 else image.T)[kind % 5] += 180
        return pixels.astype(np.uint8), classes.astype(np.uint8)

    np.savez(path, **dict(zip(names, (*images(400), *images(100)), strict=True)))


@pytest.mark.parametrize("names", highway_depth._NAMES)
def test_images_are_read(tmp_path, names):
    path = tmp_path / "images.npz"
    write_images(path, np.random.default_rng(0), names)
    known, unseen = highway_depth.read_images(str(path))
    assert known.x.shape == (400, 36)
    assert unseen.x.dtype == np.float32
    np.testing.assert_array_equal(unseen.classes, np.arange(100) % 10)
    assert unseen.x[3].reshape(6, 6).mean(axis=1).argmax() == 3
    assert unseen.x[7].reshape(6, 6).mean(axis=0).argmax() == 2
    with np.load(path) as raw:
        np.testing.assert_allclose(known.x.max(), raw[names[0]].max() / 255, rtol=1e-6)


def test_missing_images(tmp_path):
    run = {"quick": True, "say": lambda line: None}
    with pytest.raises(recipes.MissingDataError, match="the data are not here; give --data FILE"):
        recipes.run(highway_depth.RECIPE, **run)
    with pytest.raises(recipes.MissingDataError, match=r"the data are not at .*nowhere; give --data FILE"):
        recipes.run(highway_depth.RECIPE, data=str(tmp_path / "nowhere"), **run)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(recipes.MissingDataError, match=r"other.npz has x; give --data FILE"):
        recipes.run(highway_depth.RECIPE, data=str(tmp_path / "other.npz"), **run)


def test_highway_learns_where_plain_layers_do_not(tmp_path):
    path = tmp_path / "images.npz"
    write_images(path, np.random.default_rng(1))
    wanted = (
        "highway, depth 50",
        "plain, depth 50",
        "residual, depth 5",
        "plain, relu and He start, depth 5",
    )
    arms = tuple(arm for arm in highway_depth.RECIPE.arms if arm.label in wanted)
    lines = []
    recipe = dataclasses.replace(highway_depth.RECIPE, arms=arms)
    report = recipes.run(recipe, quick=True, data=str(path), say=lines.append)
    assert report.passed is True
    score = {label: found[0].score for label, found in report.outcomes.items()}
    assert score[wanted[0]] > score[wanted[1]] + 0.3
    assert score[wanted[2]] > 0.5
    assert score[wanted[3]] > 0.5
    assert "  trivial    always the most frequent class: 0.1000 right" in lines


def test_layers():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 5)).astype(np.float32)
    for residual in (False, True):
        layers = highway_depth.Layers(5, 3, f=ur.relu, residual=residual, rng=rng)
        a = x
        for layer in layers.layers:
            a = residual * a + np.maximum(a @ layer.W.data.T + layer.b.data, 0)
        np.testing.assert_allclose(layers(ur.Tensor(x)).data, a, rtol=1e-5, atol=1e-6)
    he = highway_depth.Layers(400, 1, he=True, rng=rng).layers[0].W.data
    # 160,000 draws: the deviation is known to 0.2 %.
    assert he.std() == pytest.approx(np.sqrt(2 / 400), rel=0.01)


@pytest.mark.parametrize("cell", [ur.LSTM, ur.RNN])
def test_depth_is_a_cell_without_input_started_from_the_bits(cell):
    rng = np.random.default_rng(0)
    model = parity.Depth(cell, 6, 3, 4, unlike=None, rng=rng)
    bits = rng.choice([-1, 1], (5, 6)).astype(np.float32)
    entering = bits @ model.project.W.data.T + model.project.b.data
    state = np.split(entering, len(cell.State._fields), axis=1)
    for _ in range(4):
        _, state = model.layer.step(
            np.zeros((5, 1), np.float32), cell.State(*map(np.ascontiguousarray, state))
        )
    expected = state[0] @ model.output.W.data.T + model.output.b.data
    np.testing.assert_allclose(model(bits).data, expected, rtol=1e-5, atol=1e-6)


def test_the_equal_start_of_parity():
    rng = np.random.default_rng(0)
    W = parity.Depth(ur.LSTM, 1000, 40, 1, unlike=0.2, rng=rng).project.W.data
    # Of 1,000 draws a deviation is known to 2 %: three of these and a half.
    np.testing.assert_allclose(W.std(axis=1) / np.abs(W.mean(axis=1)), 0.2, rtol=0.08)
    assert W.mean(axis=1).std() == pytest.approx(0.5, rel=0.3)  # of 80 draws
