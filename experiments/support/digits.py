"""What the examples search over: the settings of a small network that learns handwritten digits.

It trains on 1,000 of scikit-learn's digits for 40 epochs, one label in ten drawn anew, and is
validated on the other 797 after every epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

EPOCHS = 40
TRAINING_IMAGES = 1000
WRONG_LABELS = 0.1
BATCHES = (16, 32, 64, 128)


@dataclass(frozen=True)
class Digits:
    """Images and labels to train on and to validate with."""

    images: Tensor
    labels: Tensor
    unseen_images: Tensor
    unseen_labels: Tensor


@dataclass(frozen=True)
class Settings:
    """What is searched for."""

    width: int
    dropout: float
    learning_rate: float
    weight_decay: float
    batch: int


def read_digits(seed: int) -> Digits:
    """1,000 digits to train on, the other 797 to validate with."""
    # Here, so that workers who are sent the data need no scikit-learn.
    from sklearn.datasets import load_digits

    generator = torch.Generator().manual_seed(seed)
    pixels, digits = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32) / 16
    labels = torch.tensor(digits)
    order = torch.randperm(len(images), generator=generator)
    train, unseen = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    redrawn = torch.rand(len(train), generator=generator) < WRONG_LABELS
    anything = torch.randint(0, 10, (len(train),), generator=generator)
    taught = torch.where(redrawn, anything, labels[train])
    return Digits(images[train], taught, images[unseen], labels[unseen])


def random_settings(count: int, seed: int) -> list[Settings]:
    """Settings drawn at random."""
    generator = np.random.default_rng(seed)
    return [
        Settings(
            width=round(2 ** generator.uniform(3, 7)),
            dropout=generator.uniform(0, 0.6),
            learning_rate=10 ** generator.uniform(-4, 0),
            weight_decay=10 ** generator.uniform(-6, -2),
            batch=int(generator.choice(BATCHES)),
        )
        for _ in range(count)
    ]


def train(settings: Settings, data: Digits, seed: int) -> Iterator[float]:
    """Trains a network and gives its validation accuracy after every epoch."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(64, settings.width),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.width, 10),
    )
    optimiser = torch.optim.SGD(
        network.parameters(),
        settings.learning_rate,
        momentum=0.9,
        weight_decay=settings.weight_decay,
    )
    for _ in range(EPOCHS):
        network.train()
        for chosen in torch.randperm(TRAINING_IMAGES).split(settings.batch):
            optimiser.zero_grad()
            guesses = network(data.images[chosen])
            nn.functional.cross_entropy(guesses, data.labels[chosen]).backward()
            optimiser.step()
        network.eval()
        with torch.inference_mode():
            guesses = network(data.unseen_images).argmax(1)
        yield float((guesses == data.unseen_labels).double().mean())
