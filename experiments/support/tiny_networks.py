"""Networks of one hidden layer on scikit-learn's data sets, trained in milliseconds an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.arguments import Array

EPOCHS = 27
DATA_SETS = ("breast_cancer", "digits", "wine")
_MOST_EXAMPLES = 600
_WRONG_LABELS = 0.1
_CLIPPED = 1e-7


@dataclass(frozen=True)
class Examples:
    """What is trained on, and what is not seen.

    Args:
        inputs, labels: (n, d) and (n,), one label in ten drawn anew.
        unseen_inputs, unseen_labels: of the other examples.
    """

    inputs: Array
    labels: NDArray[np.int64]
    unseen_inputs: Array
    unseen_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Training:
    """What is searched for."""

    learning_rate: float
    momentum: float
    weight_decay: float
    batch: int
    width: int
    dropout: float


def read_examples(name: str, seed: int = 0) -> Examples:
    """One of `DATA_SETS`, half of it to train on."""
    from sklearn import datasets

    loaded: Any = getattr(datasets, f"load_{name}")()
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(loaded.target))[:_MOST_EXAMPLES]
    inputs = loaded.data[order]
    inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-9)
    labels = loaded.target[order].astype(np.int64)
    wrong = generator.random(len(labels)) < _WRONG_LABELS
    drawn = generator.integers(labels.max() + 1, size=len(labels))
    half = len(order) // 2
    told = np.where(wrong, drawn, labels)
    return Examples(inputs[:half], told[:half], inputs[half:], labels[half:])


def train(settings: Training, data: Examples, seed: int) -> Iterator[float]:
    """Cross-entropy on what is not seen, after each epoch; the learning rate falls as a cosine."""
    generator = np.random.default_rng(seed)
    classes = int(max(data.labels.max(), data.unseen_labels.max())) + 1
    sizes = (data.inputs.shape[1], settings.width, classes)
    weights = [
        generator.normal(size=(before, after)) * np.sqrt(2 / before)
        for before, after in pairwise(sizes)
    ]
    biases = [np.zeros(size) for size in sizes[1:]]
    parameters = [*weights, *biases]
    speeds = [np.zeros_like(each) for each in parameters]
    targets = np.eye(classes)[data.labels]
    for epoch in range(EPOCHS):
        rate = settings.learning_rate * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = generator.permutation(len(targets))
        for begin in range(0, len(order), settings.batch):
            chosen = order[begin : begin + settings.batch]
            kept = generator.random((len(chosen), settings.width)) >= settings.dropout
            gradients = _gradients(parameters, data.inputs[chosen], targets[chosen], kept)
            for each, speed, gradient in zip(parameters, speeds, gradients, strict=True):
                speed *= settings.momentum
                speed -= rate * (gradient + settings.weight_decay * each)
                each += speed
        if not all(np.isfinite(each).all() for each in parameters):
            yield float("nan")
            return
        share = 1 - settings.dropout
        chances = _chances(parameters, data.unseen_inputs, share)[1]
        right = chances[np.arange(len(chances)), data.unseen_labels]
        yield float(-np.log(np.maximum(right, _CLIPPED)).mean())


def _chances(parameters: list[Array], inputs: Array, kept: Any) -> tuple[Array, Array]:
    """What the hidden layer says, and the probabilities of the classes."""
    into, out, hidden_bias, bias = parameters
    hidden = np.maximum(inputs @ into + hidden_bias, 0) * kept
    scores = hidden @ out + bias
    scores -= scores.max(1, keepdims=True)
    powers = np.exp(scores)
    return hidden, powers / powers.sum(1, keepdims=True)


def _gradients(parameters: list[Array], inputs: Array, targets: Array, kept: Any) -> list[Array]:
    hidden, chances = _chances(parameters, inputs, kept)
    wrong = (chances - targets) / len(inputs)
    back = (wrong @ parameters[1].T) * (hidden > 0)
    return [inputs.T @ back, hidden.T @ wrong, back.sum(0), wrong.sum(0)]
