"""The snippets of docs/trainers.md run as they stand, on data as small as they get."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainers.curves import import_trainer, quietly

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

pytestmark = quietly
PAGE = Path(__file__).resolve().parents[2] / "docs" / "trainers.md"
ROWS = 16
INPUTS, TARGETS = np.arange(float(ROWS))[:, None] % 5, np.arange(float(ROWS)) % 2


def for_lightning() -> dict[str, Any]:
    lightning = import_trainer("lightning.pytorch")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
            return (self.layer(batch[0]) - batch[1]).square().mean()

        def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
            self.log("val_loss", self.training_step(batch, index))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.001)

    tensors = [torch.tensor(array, dtype=torch.float32) for array in (INPUTS, TARGETS[:, None])]
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), batch_size=ROWS)
    return {"module": Module(), "train_data": data, "val_data": data}


def for_transformers() -> dict[str, Any]:
    import_trainer("transformers")
    import_trainer("accelerate")

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": (self.layer(x)[:, 0] - labels).square().mean()}

    rows = [
        {"x": torch.tensor(x, dtype=torch.float32), "labels": torch.tensor(y, dtype=torch.float32)}
        for x, y in zip(INPUTS, TARGETS, strict=True)
    ]
    return {
        "model": Network(),
        "new_model": Network,
        "train_data": rows,
        "val_data": rows[:2],
        "steps_per_epoch": ROWS // 8,
    }


def for_keras() -> dict[str, Any]:
    keras = import_trainer("keras")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return {"model": model, "x": INPUTS, "y": TARGETS}


def for_xgboost() -> dict[str, Any]:
    data = import_trainer("xgboost").DMatrix(INPUTS, label=TARGETS)
    return {"train_data": data, "val_data": data}


def for_lightgbm() -> dict[str, Any]:
    data = import_trainer("lightgbm").Dataset(INPUTS, TARGETS)
    return {"train_data": data, "val_data": data.create_valid(INPUTS, TARGETS)}


def for_nothing() -> dict[str, Any]:
    return {}


GIVEN: dict[str, Callable[[], dict[str, Any]]] = {
    "Lightning": for_lightning,
    "Hugging Face transformers": for_transformers,
    "Keras 3": for_keras,
    "XGBoost": for_xgboost,
    "LightGBM": for_lightgbm,
    "A loop of your own": for_nothing,
}


def snippets() -> dict[str, list[str]]:
    """The Python blocks below each heading."""
    text = PAGE.read_text(encoding="utf-8")
    _, *sections = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return {
        heading: re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        for heading, section in zip(sections[::2], sections[1::2], strict=True)
    }


@pytest.mark.parametrize("heading", GIVEN)
def test_snippets(heading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = GIVEN[heading]()
    blocks = snippets()[heading]
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(block, names)


def test_every_section_is_tried() -> None:
    assert {heading for heading, blocks in snippets().items() if blocks} == set(GIVEN)
