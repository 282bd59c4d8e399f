"""Recipes: what the judges let pass, and what not."""

from __future__ import annotations

from test_recipes import outcome
from unrolled.recipes import continual_reber, copy_memory, counting, memorisation, vanishing_gradients

GOOD = [outcome(), outcome()]
BAD = [outcome(), outcome(solved=False)]
NONE = [outcome(solved=False), outcome(solved=False)]


def judged(recipe, *outcomes, quick=False):
    """The verdict on these outcomes of the arms in turn."""
    return recipe.judge(dict(zip((arm.label for arm in recipe.arms), outcomes, strict=True)), quick)


def test_continual_reber():
    judge = continual_reber.RECIPE.judge
    assert judge({"LSTM": GOOD}, False)
    assert not judge({"LSTM": BAD}, False)
    assert not judge({"LSTM": GOOD, "LSTM of 1997": BAD}, False)


def test_vanishing_gradients():
    """Three lengths of plain descent, of clipping and of both: what is solved must strictly become more."""
    recipe, plain = vanishing_gradients.RECIPE, (BAD, NONE, NONE)
    assert judged(recipe, *plain, GOOD, BAD, NONE, GOOD, GOOD, NONE)
    assert not judged(recipe, *plain, BAD, NONE, NONE, GOOD, GOOD, GOOD)
    assert not judged(recipe, *plain, GOOD, BAD, NONE, GOOD, BAD, NONE)
    assert not judged(recipe, GOOD, GOOD, GOOD, *plain, GOOD, GOOD, NONE)
    assert judged(recipe, *[NONE] * 8, BAD, quick=True)
    assert not judged(recipe, GOOD, *[NONE] * 8, quick=True)


def test_copy_memory():
    recipe = copy_memory.RECIPE
    others = len(recipe.arms) - 1
    for quick in (False, True):
        assert judged(recipe, GOOD, *[NONE] * others, quick=quick)
        assert not judged(recipe, BAD, *[GOOD] * others, quick=quick)


def test_memorisation():
    judge = memorisation.RECIPE.judge
    grid, slow = [outcome(sequences=40)], [outcome(sequences=41)]
    assert judge({"tied 2-LSTM grid": grid}, True)
    assert judge({"tied 2-LSTM grid": grid, "stacked LSTM": slow}, False)
    assert judge({"tied 2-LSTM grid": grid, "stacked LSTM": [outcome(solved=False)]}, False)
    assert not judge({"tied 2-LSTM grid": slow, "stacked LSTM": grid}, False)
    assert not judge({"tied 2-LSTM grid": BAD, "stacked LSTM": BAD}, False)


def test_counting():
    scores = [outcome(score=s) for s in (10, 24, 30)]
    assert counting.RECIPE.judge({"peephole LSTM": scores}, False)
    assert not counting.RECIPE.judge({"peephole LSTM": scores[:2]}, False)
