"""The callback in LightGBM's own training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lcpfn import InputError
from tests.trainers.curves import (
    BEST,
    BOLD,
    DIVERGED,
    EPOCHS,
    GOOD,
    HOPELESS,
    LEAST,
    RISING,
    import_trainer,
    losses,
    quietly,
)

lightgbm = import_trainer("lightgbm")
from lcpfn.integrations.lightgbm import LCPFNEarlyStopping  # noqa: E402

pytestmark = quietly
SETTINGS = {"num_leaves": 2, "min_data_in_leaf": 1, "num_threads": 1, "verbose": -1}
NO_METRIC = {**SETTINGS, "metric": "None"}
X, Y = np.arange(40.0)[:, None] % 7, np.arange(40.0) % 2


def scripted(values: list[float], name: str, up: bool, before: int) -> Any:
    """A metric that gives the values of a curve, whatever is learned."""
    rounds = iter(values[before:])
    return lambda predicted, about: (name, next(rounds), up)


def train(
    stopping: Any, values: list[float], name: str = "accuracy", before: int = 0, **about: Any
) -> Any:
    data = lightgbm.Dataset(X, Y, free_raw_data=False)
    return lightgbm.train(
        NO_METRIC,
        data,
        about.pop("num_boost_round", EPOCHS - before),
        valid_sets=[data.create_valid(X, Y)],
        feval=scripted(values, name, name != "loss", before),
        callbacks=[stopping],
        **about,
    )


def test_stops_a_hopeless_run_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = LCPFNEarlyStopping(best=BEST)
    booster = train(stopping, HOPELESS)
    rounds = booster.current_iteration()
    assert LEAST <= rounds < 25 and stopping.stopped_at == rounds == booster.best_iteration
    assert booster.best_score["valid_0"]["accuracy"] == HOPELESS[rounds - 1]
    said = capsys.readouterr().out
    assert f"stopped after round {rounds}: {stopping.stop_reason}" in said
    assert stopping.verdict is not None and stopping.verdict.horizon == EPOCHS


def test_a_good_run_comes_to_its_end() -> None:
    stopping = LCPFNEarlyStopping(best=1 - BEST, target=0.1)
    assert train(stopping, losses(GOOD), "loss").current_iteration() == EPOCHS
    assert stopping.stop_reason is None


def test_a_reward_has_no_ceiling() -> None:
    for name, settings, is_open in (
        ("reward", {}, True),
        ("reward", {"bounds": (0, 1)}, False),
        ("accuracy", {}, False),
    ):
        stopping = LCPFNEarlyStopping(best=0.1, horizon=EPOCHS, **settings)
        train(stopping, RISING, name, num_boost_round=len(RISING))
        assert stopping.verdict is not None and (stopping.verdict.high > 1) is is_open


def test_never_stops_on_a_forecast_before_the_least_evidence() -> None:
    for settings, rounds in (({}, LEAST), ({"min_steps": 6}, 6), ({"every": 2}, 2 * LEAST)):
        bold = LCPFNEarlyStopping(best=0.99, **BOLD, **settings)
        assert train(bold, HOPELESS).current_iteration() == rounds
    # What diverges waits for no record.
    assert train(LCPFNEarlyStopping(every=2), DIVERGED).current_iteration() == 3


def test_goes_on_from_a_saved_model_as_if_nothing_had_happened(tmp_path: Path) -> None:
    def stopping() -> LCPFNEarlyStopping:
        return LCPFNEarlyStopping(best=BEST, horizon=EPOCHS, state_file=tmp_path / "state.json")

    whole = LCPFNEarlyStopping(best=BEST)
    train(whole, HOPELESS)
    train(stopping(), HOPELESS, num_boost_round=3).save_model(tmp_path / "model.txt")
    resumed = stopping()
    train(resumed, HOPELESS, before=3, init_model=tmp_path / "model.txt")
    assert resumed.stopped_at == whole.stopped_at
    assert resumed.verdict is not None and whole.verdict is not None
    assert resumed.verdict.prob_better == pytest.approx(whole.verdict.prob_better, rel=1e-3)
    # What another run has left in the file is not of one that begins.
    assert train(stopping(), HOPELESS).current_iteration() == whole.stopped_at


def test_serves_the_classifier_and_cross_validation() -> None:
    stopping = LCPFNEarlyStopping(data_name="valid_1", metric_name="binary_logloss", best=0.1)
    model = lightgbm.LGBMClassifier(**SETTINGS, n_estimators=EPOCHS)
    model.fit(X, Y, eval_set=[(X, Y), (X[:20], Y[:20])], callbacks=[stopping])
    assert LEAST <= model.booster_.current_iteration() == stopping.stopped_at < EPOCHS
    folds = LCPFNEarlyStopping(best=0.1)
    settings = {**SETTINGS, "objective": "binary"}
    table = lightgbm.cv(
        settings, lightgbm.Dataset(X, Y), EPOCHS, nfold=2, callbacks=[folds], eval_train_metric=True
    )
    assert len(table["valid binary_logloss-mean"]) == folds.stopped_at


def test_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match=r"metric_name is 'acuracy' \(did you mean 'accuracy'\?\)"):
        train(LCPFNEarlyStopping(metric_name="acuracy"), GOOD)
    with pytest.raises(InputError, match=r"data_name is 'valid' \(did you mean 'valid_0'\?\)"):
        train(LCPFNEarlyStopping(data_name="valid"), GOOD)
    with pytest.raises(InputError, match="nothing is evaluated: give valid_sets="):
        lightgbm.train(SETTINGS, lightgbm.Dataset(X, Y), 2, callbacks=[LCPFNEarlyStopping()])
    with pytest.raises(InputError, match="every is 0"):
        LCPFNEarlyStopping(every=0)
