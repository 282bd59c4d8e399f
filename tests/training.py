"""Small models and data that the tests of training share; no tests."""

from __future__ import annotations

import numpy as np

import unrolled as ur

TEXT = "".join(f"{a} and {b}; " for a in ("one", "two", "six", "ten") for b in ("red", "sea", "sun")) * 4
VOCABULARY = ur.CharVocabulary.from_text(TEXT)
TOKENS = VOCABULARY.encode(TEXT)


class Speller(ur.Module):
    """A language model with two mixed layers and dropout: `(logits, state)`."""

    def __init__(self, vocabulary, hidden_size=12, *, dropout=0.2, rng=None):
        self.embedding = ur.Embedding(len(vocabulary), 8, rng=rng)
        cells = [ur.LSTM(8, hidden_size, rng=rng), ur.GRU(hidden_size, hidden_size, rng=rng)]
        self.layers = ur.Stack(cells, dropout=dropout, rng=rng)
        self.output = ur.Linear(hidden_size, len(vocabulary), rng=rng)

    def forward(self, x, state=None):
        y, state = self.layers(self.embedding(x), state)
        return self.output(y), state


class Classifier(ur.Module):
    """Sequences (T, B, 2) to two classes, from the last state."""

    def __init__(self, *, rng=None):
        self.cell = ur.GRU(2, 8, rng=rng)
        self.output = ur.Linear(8, 2, rng=rng)

    def forward(self, x, lengths=None):
        _, state = self.cell(x, lengths=lengths)
        return self.output(state.h)


def speller(seed=0):
    return Speller(VOCABULARY, rng=np.random.default_rng(seed))


def batches(tokens=TOKENS):
    return ur.data.ContiguousBatches(tokens, 4, 9)


def classes(count=60, seed=0):
    """Sequences whose class is the sign of the sum of their first feature."""
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal((int(length), 2)).astype(np.float32) for length in rng.integers(2, 9, count)]
    return x, np.array([int(sequence[:, 0].sum() > 0) for sequence in x])


def accuracy(logits, targets):
    return float((np.asarray(logits).argmax(-1) == targets).mean())


def assert_same_parameters(a, b):
    assert list(a.parameters()) == list(b.parameters())
    for name, tensor in a.parameters().items():
        np.testing.assert_array_equal(tensor._data, b.parameters()[name]._data, err_msg=name)


class Log(ur.Callback):
    """Losses of all steps; optionally an exception after a given one."""

    def __init__(self, fail_after=None, error=RuntimeError):
        self.losses, self.fail_after, self.error = [], fail_after, error

    def on_step(self, run):
        self.losses.append((run.step, run.last_loss, run.last_grad_norm, run.optimizer.lr))

    def state_dict(self):
        return {"losses": self.losses}

    def load_state_dict(self, state):
        self.losses = [tuple(entry) for entry in state["losses"]]


class Stop(ur.Callback):
    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_step(self, run):
        if run.step == self.step:
            self.action()


def fail():
    raise RuntimeError("power cut")


def language(seed):
    model = speller(seed)
    return model, batches(TOKENS[:200]), {"validation": batches(TOKENS[200:]), "loss": ur.cross_entropy}


def classification(seed):
    x, y = classes()
    data = ur.data.BucketBatches(x, y, 8, shuffle=True, rng=np.random.default_rng(seed))
    model = Classifier(rng=np.random.default_rng(seed))
    return model, data, {"validation": ur.data.BucketBatches(x[:9], y[:9], 4), "loss": ur.cross_entropy}


def plain_list(seed):
    x, y = classes()
    data = [tuple(batch)[:3] for batch in ur.data.BucketBatches(x, y, 8)]
    return Classifier(rng=np.random.default_rng(seed)), data, {"loss": ur.cross_entropy}


OPTIMIZERS = {
    language: lambda m: ur.RMSprop.graves(m, lr=0.01),
    classification: lambda m: ur.AdamW(m, lr=0.01),
    plain_list: lambda m: ur.SGD(m, lr=0.1, momentum=0.9, nesterov=True),
}


def run(task, seed, *extra, epochs=3, **options):
    model, data, more = task(seed)
    optimizer = OPTIMIZERS[task](model)
    schedule = ur.WarmupLR(optimizer, 4, after=ur.CosineLR(optimizer, 30))
    schedules = [schedule, ur.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)]
    log = Log()
    if "validation" in more:
        options.setdefault("patience", 9)
    options = {"epochs": epochs, "clip_norm": 0.5, "progress": False, **more, **options}
    history = ur.fit(model, data, optimizer=optimizer, schedule=schedules, callbacks=[log, *extra], **options)
    return model, history, log.losses


def comparable(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
