"""Two examples of introductory lectures, and two one-liners that their readers ask for."""

import numpy as np

import unrolled as ur


def test_two_steps_by_hand():
    """Four instances, three inputs, five units, two steps: h1 = tanh(h0 W_h + x1 W_x + b), h2 = tanh(h1 W_h +
    x2 W_x + b).
    """
    x1 = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 0, 1]], np.float64) / 10
    x2 = np.array([[9, 8, 7], [0, 0, 0], [6, 5, 4], [3, 2, 1]], np.float64) / 10
    layer = ur.RNN(3, 5, dtype=np.float64, rng=np.random.default_rng(0))
    W_x, W_h, b = layer.W_ih.data.T, layer.W_hh.data.T, layer.b.data
    b[...] = [0.1, -0.1, 0.2, 0.0, -0.2]
    h0 = np.zeros((4, 5))

    h1 = np.tanh(h0 @ W_h + x1 @ W_x + b)
    h2 = np.tanh(h1 @ W_h + x2 @ W_x + b)

    y, state = layer(np.stack([x1, x2]))
    # 1e-12: a few float64 products summed in another order.
    np.testing.assert_allclose(y.data, [h1, h2], rtol=1e-12)
    np.testing.assert_allclose(state.h.data, h2, rtol=1e-12)

    # The gradient of sum(h2), unrolled by hand too.
    y, state = layer(np.stack([x1, x2]))
    state.h.backward(np.ones((4, 5)))
    d2 = 1 - h2**2
    d1 = (d2 @ W_h.T) * (1 - h1**2)
    np.testing.assert_allclose(layer.W_ih.grad.T, x1.T @ d1 + x2.T @ d2, rtol=1e-12)
    np.testing.assert_allclose(layer.W_hh.grad.T, h0.T @ d1 + h1.T @ d2, rtol=1e-12)
    np.testing.assert_allclose(layer.b.grad, (d1 + d2).sum(axis=0), rtol=1e-12)


def test_hello():
    """A network that has read 'hell' writes 'ello': the second 'l' differs from the first only in what came
    before.
    """
    letters = "helo"
    x = np.eye(4, dtype=np.float32)[[letters.index(c) for c in "hell"]][:, None]
    targets = np.array([letters.index(c) for c in "ello"])[:, None]
    rng = np.random.default_rng(0)
    rnn, output = ur.RNN(4, 3, rng=rng), ur.Linear(3, 4, rng=rng)
    optimizer = ur.Adam(
        {
            f"{name}.{key}": p
            for name, m in (("rnn", rnn), ("output", output))
            for key, p in m.parameters().items()
        },
        lr=0.1,
    )
    for _ in range(100):
        y, _ = rnn(x)
        loss = ur.cross_entropy(output(y), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.1

    written, state = "h", rnn.initial_state(1)
    while len(written) < 5:
        h, state = rnn.step(np.eye(4, dtype=np.float32)[[letters.index(written[-1])]], state)
        written += letters[int(np.argmax(output(h).data))]
    assert written == "hello"


def test_hello_with_the_language_model():
    model = ur.models.LanguageModel(
        ur.CharVocabulary("helo"), embedding_size=4, hidden_size=8, rng=np.random.default_rng(0)
    )
    tokens = model.vocabulary.encode("hello")
    optimizer = ur.Adam(model, lr=0.05)
    for _ in range(100):
        logits, _ = model(tokens[:-1, None])
        model.zero_grad()
        ur.cross_entropy(logits, tokens[1:, None]).backward()
        optimizer.step()
    assert "".join(model.generate("h", 4, temperature=0.0)) == "ello"


def test_classifier_on_the_last_states_of_all_layers():
    stack = ur.Stack([ur.GRU(6, 4), ur.GRU(4, 4), ur.GRU(4, 5)])
    classify = ur.Linear(13, 3)
    x = np.random.default_rng(0).standard_normal((7, 2, 6)).astype(np.float32)
    _, state = stack(x, lengths=np.array([7, 4]))
    logits = classify(ur.final_hidden(state))
    joined = np.concatenate([layer.h.data for layer in state], axis=1)
    np.testing.assert_array_equal(logits.data, classify(joined).data)
    assert logits.shape == (2, 3)
    ur.cross_entropy(logits, np.array([0, 2])).backward()
    assert all(np.abs(p.grad).max() > 0 for p in stack.parameters().values())


def test_uniform_initial_weights_in_one_line():
    rng = np.random.default_rng(0)
    model = ur.models.LanguageModel(ur.CharVocabulary("ab"), hidden_size=30)
    ur.init.uniform(model, -0.08, 0.08, rng=rng)
    values = np.concatenate([p.data.ravel() for p in model.parameters().values()])
    assert -0.08 <= values.min() < -0.079
    assert 0.079 < values.max() < 0.08
