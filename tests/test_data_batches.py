"""Batches: what they hold, their order, and how the order is taken up again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from unrolled.data import ArrayBatches, BucketBatches, ContiguousBatches


def test_contiguous_streams_go_on_from_batch_to_batch():
    tokens = np.arange(100, 124)
    batches = ContiguousBatches(tokens, 3, 3)
    found = list(batches)
    assert len(found) == len(batches) == 3
    x = np.concatenate([x for x, _ in found])
    y = np.concatenate([y for _, y in found])
    assert x.T.tolist() == [list(range(100, 107)), list(range(107, 114)), list(range(114, 121))]
    assert (y == x + 1).all()
    assert found[0][0].shape == (3, 3) and found[-1][0].shape == (1, 3)
    assert x.dtype == y.dtype == np.int64 and all(a.flags.c_contiguous for a in found[1])
    assert batches.carries_state


def test_contiguous_with_targets_and_features():
    series = np.arange(20.0).reshape(10, 2)
    ((x, y),) = ContiguousBatches(series, 2, 10, targets=-series[:, 0])
    assert x.shape == (5, 2, 2) and y.shape == (5, 2)
    np.testing.assert_array_equal(y, -x[..., 0])
    assert ContiguousBatches(np.arange(9, dtype=np.uint8), 2, 4)._inputs.dtype == np.int64


@pytest.mark.parametrize("count", [1, 5, 6])
def test_contiguous_uses_all_it_can(count):
    batches = ContiguousBatches(np.arange(count * 4 + 1), 4, 2)
    assert sum(len(x) for x, _ in batches) == count


def test_array_batches_hold_every_row_once_in_another_order_each_epoch():
    inputs = np.arange(14).reshape(2, 7, 1)
    targets = np.arange(7)
    batches = ArrayBatches(inputs, targets, 3, shuffle=True, rng=np.random.default_rng(0))
    first, second = list(batches), list(batches)
    for epoch in (first, second):
        assert [x.shape for x, _ in epoch] == [(2, 3, 1), (2, 3, 1), (2, 1, 1)]
        assert sorted(np.concatenate([y for _, y in epoch])) == list(range(7))
        for x, y in epoch:
            np.testing.assert_array_equal(x[0, :, 0], y)
            np.testing.assert_array_equal(x[1, :, 0], y + 7)
    assert not np.array_equal(np.concatenate([y for _, y in first]), np.concatenate([y for _, y in second]))


def test_array_batches_find_the_axis_of_the_targets():
    x = np.zeros((5, 3, 2))
    assert ArrayBatches(x, np.zeros((5, 3, 2)), 2).target_axis == 1
    assert ArrayBatches(x, np.zeros(3), 2).target_axis == 0
    with pytest.raises(
        ValueError, match=r"3 rows .* on one of axes 0 and 1 only; ur.data.ArrayBatches\(.*target_axis="
    ):
        ArrayBatches(x, np.zeros((3, 3)), 2)
    with pytest.raises(ValueError, match="the 3 rows of the inputs on axis 0 or 1; "):
        ArrayBatches(x, np.zeros((4, 5)), 2)
    assert ArrayBatches(x, np.zeros((3, 3)), 2, target_axis=0).target_axis == 0


def sequences(count=40):
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 30, count)
    return [np.full((length, 2), index, float) for index, length in enumerate(lengths)], lengths


def test_buckets_say_at_once_which_sequence_is_of_another_kind():
    good = [np.zeros((0, 2)), np.ones((1, 2), np.float32), np.ones((2, 2), np.float32)]
    for index, bad in ((1, np.ones((1, 2))), (2, np.ones((2, 3), np.float32))):
        several = [*good[:index], bad, *good[index + 1 :]]
        with pytest.raises((TypeError, ValueError), match=r"BucketBatches: sequence [12] has"):
            BucketBatches(several, np.arange(3), 2)
        with pytest.raises((TypeError, ValueError), match=r"BucketBatches, targets: sequence [12] has"):
            BucketBatches(good, several, 2)
    assert len(list(BucketBatches(good, np.arange(3), 2))) == 2


@pytest.mark.parametrize("shuffle", [False, True])
def test_buckets_hold_every_sequence_once_with_little_padding(shuffle):
    xs, lengths = sequences()
    ys = [x[:, 0].astype(np.int64) for x in xs]
    batches = BucketBatches(xs, ys, 7, shuffle=shuffle, rng=np.random.default_rng(1))
    seen, padded = [], 0
    found = list(batches)
    assert len(found) == len(batches) == 6
    for batch in found:
        assert batch.inputs.shape[1:] == (len(batch.lengths), 2)
        padded += batch.inputs.shape[0] * batch.inputs.shape[1]
        np.testing.assert_array_equal(batch.mask.sum(axis=0), batch.lengths)
        np.testing.assert_array_equal(batch.inputs[..., 0][batch.mask], batch.targets[batch.mask])
        seen += [
            int(column[0]) if n else -1
            for column, n in zip(batch.inputs[..., 0].T, batch.lengths, strict=True)
            if n
        ]
    assert sorted(seen) == [index for index, n in enumerate(lengths) if n]
    assert padded < 1.3 * lengths.sum() < 30 * 40


def test_buckets_with_one_target_per_sequence():
    xs, lengths = sequences(5)
    for inputs, targets, found, mask in BucketBatches(xs, np.arange(5), 2):
        assert mask is None and inputs.ndim == 3
        np.testing.assert_array_equal(found, lengths[targets])
    assert not BucketBatches(xs, [0, 1, 2, 3, 4], 2).per_step


def makers():
    xs, _ = sequences()
    rng = np.random.default_rng
    return {
        "contiguous": lambda seed: ContiguousBatches(np.arange(50), 3, 2),
        "arrays": lambda seed: ArrayBatches(
            np.arange(80).reshape(2, 40), np.arange(40), 6, shuffle=True, rng=rng(seed)
        ),
        "buckets": lambda seed: BucketBatches(
            xs, np.arange(40), 6, shuffle=True, rng=rng(seed), batches_per_bucket=2
        ),
    }


def same(a, b):
    assert len(a) == len(b)
    for one, two in zip(a, b, strict=True):
        for x, y in zip(one, two, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", ["contiguous", "arrays", "buckets"])
@pytest.mark.parametrize("taken", [0, 1, 3, None])
def test_a_saved_position_is_taken_up_by_another_object(name, taken):
    make = makers()[name]
    whole = make(3)
    everything = [list(whole) for _ in range(3)]
    batches = make(3)
    list(batches)  # one epoch
    iterator = iter(batches)
    taken = len(batches) if taken is None else taken
    for _ in range(taken):
        next(iterator)
    state = json.loads(json.dumps(batches.state_dict()))
    assert state["position"] == taken
    other = make(99)
    other.load_state_dict(state)
    same(list(other), everything[1][taken:])
    same(list(other), everything[2])


def test_an_interrupted_pass_starts_again():
    batches = makers()["arrays"](0)
    first = next(iter(batches))
    same([next(iter(batches))], [first])


def test_a_position_in_other_data_is_refused():
    state = ContiguousBatches(np.arange(50), 3, 2).state_dict()
    with pytest.raises(ValueError, match="saved position is in a data set of 8 batches, this one has 17"):
        ContiguousBatches(np.arange(100), 3, 2).load_state_dict(state)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ContiguousBatches(np.arange(4), 4, 2),
            "4 tokens are too few for batch_size=4, expected at least 5",
        ),
        (lambda: ContiguousBatches(np.arange(0), 1, 2), "0 tokens are too few"),
        (lambda: ContiguousBatches(np.arange(9), 0, 2), "batch_size is 0"),
        (lambda: ContiguousBatches(np.arange(9), 2, 0), "steps is 0"),
        (lambda: ContiguousBatches(np.arange(9), 2, 2, targets=np.arange(8)), "as many targets"),
        (lambda: ArrayBatches(np.zeros((3, 0, 2)), np.zeros(0), 2), "nothing to train on"),
        (lambda: ArrayBatches(np.zeros(3), np.zeros(3), 2), "expected the batch on axis 1"),
        (lambda: ArrayBatches(np.zeros((3, 4)), np.zeros(4), 2, target_axis=1), "expected 4 rows on axis 1"),
        (lambda: BucketBatches([], [], 2), "0 sequences and 0 targets"),
        (lambda: BucketBatches([np.zeros(3)], [np.zeros(2)], 2), "targets 0 have 2 steps, sequence 0 has 3"),
    ],
)
def test_bad_batches(call, message):
    with pytest.raises(ValueError, match=message):
        call()
