"""Writes the models of Keras in `tests/live/keras`, with what Keras computes of them.

KERAS_BACKEND=torch python -m tests.live.keras_models
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np

FOLDER = Path(__file__).parent / "keras"


def models() -> Iterator[tuple[str, Any]]:
    """Small models, of every layer that can be read, by name."""
    import keras
    from keras import Input, Model, Sequential, layers

    keras.utils.set_random_seed(0)
    yield (
        "lstm",
        Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(2, activation="softmax")]),
    )
    yield (
        "both_ways",
        Sequential(
            [
                Input((None, 3)),
                layers.Bidirectional(layers.GRU(4, return_sequences=True, name="first")),
                layers.Dropout(0.5),
                layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="sum"),
                layers.Bidirectional(
                    layers.GRU(3, reset_after=False, use_bias=False), merge_mode="ave"
                ),
                layers.Dense(1),
            ]
        ),
    )
    yield (
        "activations",
        Sequential(
            [
                Input((None, 2)),
                layers.LSTM(
                    3, activation="softsign", recurrent_activation="hard_sigmoid",
                    return_sequences=True, name="one of mine",
                ),
                layers.GRU(3, activation="elu", reset_after=False, return_sequences=True),
                layers.SimpleRNN(4, activation=layers.LeakyReLU(negative_slope=0.1),
                                 return_sequences=True),
                layers.SimpleRNN(4, activation="relu", use_bias=False, return_sequences=True),
                layers.Dense(3, activation="gelu"),
                layers.Dense(3, activation="silu"),
                layers.Dense(3, activation="selu", use_bias=False),
                layers.Activation("softplus"),
                layers.ELU(),
            ]
        ),
    )  # fmt: skip
    codes = Input((None,))
    steps = layers.Embedding(7, 3)(codes)
    hidden = layers.SimpleRNN(3, return_sequences=True)(steps)
    seen = layers.Conv1D(3, 3, padding="causal", dilation_rate=2, activation="relu")(hidden)
    seen = layers.BatchNormalization()(layers.Conv1D(3, 4, padding="same")(seen))
    total = layers.Add()([layers.LayerNormalization()(hidden), seen])
    both = layers.TimeDistributed(layers.Dense(4, activation="tanh"))(total)
    pooled = [layers.GlobalMaxPooling1D()(both), layers.GlobalAveragePooling1D()(total)]
    joined = layers.Concatenate()([*pooled, layers.LSTM(2)(both)])
    yield "functional", Model(codes, layers.Dense(2, activation="sigmoid")(joined))
    start = Input((None,), name="codes")
    masked = layers.GRU(3)(layers.Embedding(5, 2, mask_zero=True)(start))
    yield "masked", Model(start, layers.Softmax()(layers.Dense(3)(masked)))


def given(name: str) -> np.ndarray:
    """What a model reads, (B, T, F) or (B, T) codes: the same for each of its name."""
    draw = np.random.default_rng(len(name))
    if name in ("functional", "masked"):
        return draw.integers(1, 5, (2, 6))
    return draw.normal(size=(2, 6, 2 if name == "activations" else 3)).astype(np.float32)


def randomised(model: Any) -> Any:
    """A model whose biases and statistics are not as they begin."""
    draw = np.random.default_rng(1)
    values = [draw.normal(0, 0.5, of.shape).astype(np.float32) for of in model.get_weights()]
    names = [of.path for of in model.weights]
    model.set_weights(
        [abs(of) if "variance" in name else of for name, of in zip(names, values, strict=True)]
    )
    return model


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    expected = {}
    for name, model in models():
        randomised(model)
        model.save(FOLDER / f"{name}.keras")
        model.save(FOLDER / f"{name}.h5", include_optimizer=False)
        expected[name] = np.asarray(model.predict(given(name), verbose=0))
    np.savez(FOLDER / "expected.npz", **expected)


if __name__ == "__main__":
    main()
