"""The callback in XGBoost's own training."""

from __future__ import annotations

import json
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

xgboost = import_trainer("xgboost")
from lcpfn.integrations.xgboost import ATTRIBUTE, LCPFNEarlyStopping  # noqa: E402

pytestmark = quietly
SETTINGS = {"max_depth": 1, "nthread": 1, "disable_default_eval_metric": 1}


def data() -> Any:
    return xgboost.DMatrix(np.arange(8.0)[:, None], label=np.arange(8.0))


def scripted(values: list[float], name: str, before: int = 0) -> Any:
    """A metric that gives the values of a curve, whatever is learned."""
    rounds = iter(values[before:])
    return lambda predicted, about: (name, next(rounds))


def train(
    stopping: Any, values: list[float], name: str = "accuracy", before: int = 0, **about: Any
) -> Any:
    rounds = about.pop("num_boost_round", EPOCHS - before)
    return xgboost.train(
        SETTINGS,
        data(),
        rounds,
        evals=[(data(), "valid")],
        custom_metric=scripted(values, name, before),
        callbacks=[stopping],
        verbose_eval=False,
        **about,
    )


def test_stops_a_hopeless_run_and_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stopping = LCPFNEarlyStopping(EPOCHS, best=BEST)
    booster = train(stopping, HOPELESS)
    rounds = booster.num_boosted_rounds()
    assert LEAST <= rounds < 25 and stopping.stopped_at == rounds
    said = capfd.readouterr().out
    assert f"stopped after round {rounds}: {stopping.stop_reason}" in said
    booster.save_model(tmp_path / "model.json")
    decision = json.loads(xgboost.Booster(model_file=tmp_path / "model.json").attr(ATTRIBUTE))
    assert decision["decision"]["reason"] == stopping.stop_reason
    assert decision["decision"]["to_beat"] == BEST


def test_a_good_run_comes_to_its_end() -> None:
    stopping = LCPFNEarlyStopping(EPOCHS, best=1 - BEST, target=0.1)
    assert train(stopping, losses(GOOD), "error").num_boosted_rounds() == EPOCHS
    assert stopping.stop_reason is None


def test_a_reward_has_no_ceiling() -> None:
    for name, settings, is_open in (
        ("reward", {}, True),
        ("reward", {"bounds": (0, 1)}, False),
        ("accuracy", {}, False),
    ):
        stopping = LCPFNEarlyStopping(EPOCHS, best=0.1, **settings)
        train(stopping, RISING, name, num_boost_round=len(RISING))
        assert stopping.verdict is not None and (stopping.verdict.high > 1) is is_open


def test_never_stops_on_a_forecast_before_the_least_evidence() -> None:
    for settings, rounds in (({}, LEAST), ({"min_steps": 6}, 6), ({"every": 2}, 2 * LEAST)):
        bold = LCPFNEarlyStopping(EPOCHS, best=0.99, maximize=True, **BOLD, **settings)
        assert train(bold, HOPELESS, "thing").num_boosted_rounds() == rounds
    # What diverges waits for no record.
    diverged = LCPFNEarlyStopping(EPOCHS, every=2)
    assert train(diverged, DIVERGED).num_boosted_rounds() == 3


def test_goes_on_from_a_saved_model_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = LCPFNEarlyStopping(EPOCHS, best=BEST)
    train(whole, HOPELESS)
    path = tmp_path / "model.ubj"
    train(LCPFNEarlyStopping(EPOCHS, best=BEST), HOPELESS, num_boost_round=3).save_model(path)
    resumed = LCPFNEarlyStopping(EPOCHS, best=BEST)
    booster = train(resumed, HOPELESS, before=3, xgb_model=path)
    assert booster.num_boosted_rounds() == resumed.stopped_at == whole.stopped_at
    assert resumed.verdict is not None and whole.verdict is not None
    assert resumed.verdict.prob_better == pytest.approx(whole.verdict.prob_better, rel=1e-3)
    # The same callback begins anew in another training.
    assert train(resumed, HOPELESS).num_boosted_rounds() == whole.stopped_at


def test_serves_the_classifier_and_cross_validation() -> None:
    x, y = np.arange(40.0)[:, None] % 7, np.arange(40) % 2
    stopping = LCPFNEarlyStopping(EPOCHS, metric_name="logloss", data_name="validation_0", best=0.1)
    model = xgboost.XGBClassifier(
        n_estimators=EPOCHS, max_depth=1, n_jobs=1, callbacks=[stopping], eval_metric="logloss"
    )
    model.fit(x, y, eval_set=[(x, y)], verbose=False)
    assert LEAST <= model.get_booster().num_boosted_rounds() < EPOCHS
    folds = LCPFNEarlyStopping(EPOCHS, best=0.1)
    settings = {"max_depth": 1, "nthread": 1, "objective": "binary:logistic"}
    table = xgboost.cv(
        settings, xgboost.DMatrix(x, label=y), EPOCHS, nfold=2, callbacks=[folds], as_pandas=False
    )
    assert len(table["test-logloss-mean"]) == folds.stopped_at
    assert folds.verdict is not None and folds.verdict.to_beat == 0.1


def test_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match=r"metric_name is 'acuracy' \(did you mean 'accuracy'\?\)"):
        train(LCPFNEarlyStopping(EPOCHS, metric_name="acuracy"), GOOD)
    with pytest.raises(InputError, match=r"data_name is 'vaild' \(did you mean 'valid'\?\)"):
        train(LCPFNEarlyStopping(EPOCHS, data_name="vaild"), GOOD)
    with pytest.raises(InputError, match="add maximize=True or maximize=False"):
        train(LCPFNEarlyStopping(EPOCHS), GOOD, "thing")
    with pytest.raises(InputError, match="nothing is evaluated: give evals="):
        xgboost.train(SETTINGS, data(), 2, callbacks=[LCPFNEarlyStopping(2)])
    with pytest.raises(InputError, match="horizon is 0"):
        LCPFNEarlyStopping(0)
