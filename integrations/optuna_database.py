"""Trials of an Optuna study that lies in a database, read at the price of what is new."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb.models import (
    TrialIntermediateValueModel,
    TrialModel,
    TrialUserAttributeModel,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import BindParameter, Connection, bindparam, exists, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

_IDS: BindParameter[int] = bindparam("ids", expanding=True)
_REPORTED = (
    select(func.count())
    .where(TrialIntermediateValueModel.trial_id == TrialModel.trial_id)
    .scalar_subquery()
)
_STATES = select(TrialModel.trial_id, TrialModel.state, _REPORTED).where(
    TrialModel.study_id == bindparam("study"),
    or_(TrialModel.trial_id.in_(_IDS), TrialModel.trial_id > bindparam("newest")),
)
_RECORDS = select(
    TrialIntermediateValueModel.trial_id,
    TrialIntermediateValueModel.step,
    TrialIntermediateValueModel.intermediate_value,
    TrialIntermediateValueModel.intermediate_value_type,
).where(
    TrialIntermediateValueModel.trial_id.in_(_IDS),
    TrialIntermediateValueModel.step > bindparam("step"),
)
_ATTRIBUTES = select(TrialUserAttributeModel.trial_id, TrialUserAttributeModel.value_json).where(
    TrialUserAttributeModel.trial_id.in_(_IDS), TrialUserAttributeModel.key == bindparam("key")
)
_REPLACED = (
    update(TrialUserAttributeModel)
    .where(
        TrialUserAttributeModel.trial_id == bindparam("trial"),
        TrialUserAttributeModel.key == bindparam("name"),
        exists().where(
            TrialModel.trial_id == bindparam("trial"), TrialModel.state == TrialState.RUNNING
        ),
    )
    .values(value_json=bindparam("text"))
)


class DatabaseTrials:
    """The trials of a study, as they are in its database at each reading.

    Optuna reads every unfinished trial whole each time: with many under way that costs more than
    all the rest of a decision. Here a trial is read whole when it begins, when it first reports and
    when it ends, and in between only the records that it adds and one attribute.

    Args:
        attribute: name of the user attribute that is kept up to date of trials under way.
    """

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute
        self._trials: list[FrozenTrial] = []
        self._unfinished: dict[int, int] = {}
        self._shown: dict[int, FrozenTrial] = {}

    def read(
        self, study: Study, storage: RDBStorage, asked: FrozenTrial | None
    ) -> list[FrozenTrial]:
        """All trials in the order of their numbers; they must not be changed.

        Args:
            study: whose they are.
            storage: where it lies.
            asked: a trial that the caller knows himself: of it nothing new is read.
        """
        known = None if asked is None else asked._trial_id
        if not (self._trials and self._add_news(study, storage, known)):
            self._trials = study.get_trials(deepcopy=False)
            self._unfinished = {
                trial._trial_id: index
                for index, trial in enumerate(self._trials)
                if not trial.state.is_finished()
            }
        return self._trials

    def _add_news(self, study: Study, storage: RDBStorage, asked: int | None) -> bool:
        """Adds what trials under way have reported; False where some must be read whole."""
        known = {trial_id: self._trials[index] for trial_id, index in self._unfinished.items()}
        try:
            with storage.engine.connect() as connection:
                found = self._found(connection, study)
                if {trial_id: state for trial_id, (state, _) in found.items()} != {
                    trial_id: trial.state for trial_id, trial in known.items()
                }:
                    return False
                grown = {
                    trial_id: count
                    for trial_id, (state, count) in found.items()
                    if state == TrialState.RUNNING
                    and trial_id != asked
                    and count > len(known[trial_id].intermediate_values)
                }
                if not grown:
                    return True
                before = {trial_id: known[trial_id].intermediate_values for trial_id in grown}
                # What a trial is made of is settled by its first report, not before.
                if not all(before.values()):
                    return False
                records = _records(connection, before, grown)
                decisions = _attributes(connection, self._attribute, grown)
        except SQLAlchemyError:
            # Optuna has its own ways with a database in trouble.
            return False
        for trial_id in grown:
            trial = copy.copy(known[trial_id])
            trial.intermediate_values = records[trial_id]
            if trial_id in decisions:
                trial.user_attrs = {**trial.user_attrs, self._attribute: decisions[trial_id]}
            self._trials[self._unfinished[trial_id]] = trial
        return True

    def unchanged(self, index: int, trial: FrozenTrial) -> bool:
        """Whether a trial is as it was at the last call for it."""
        same = self._shown.get(index) is trial
        self._shown[index] = trial
        if trial.state.is_finished():
            del self._shown[index]
        return same

    def _found(self, connection: Connection, study: Study) -> dict[int, tuple[TrialState, int]]:
        """State and number of records of trials that had not finished, and of all that are new."""
        asked = {
            "study": study._study_id,
            "ids": list(self._unfinished),
            "newest": self._trials[-1]._trial_id,
        }
        rows = connection.execute(_STATES, asked)
        return {trial_id: (state, count) for trial_id, state, count in rows}


Records = dict[int, float]
"""Values by step."""


def _records(
    connection: Connection, known: dict[int, Records], counts: dict[int, int]
) -> dict[int, Records]:
    """The records of trials, those known among them."""
    found: dict[int, Records] = {}
    # Steps mostly go up; where some do not, all are read again.
    for after in (min(map(max, known.values())), -1):
        found = {trial: dict(records) for trial, records in known.items()}
        rows = connection.execute(_RECORDS, {"ids": list(known), "step": after})
        for trial, step, stored, kind in rows:
            value = TrialIntermediateValueModel.stored_repr_to_intermediate_value(stored, kind)
            found[trial][step] = value
        if all(len(found[trial]) >= count for trial, count in counts.items()):
            break
    return found


def _attributes(connection: Connection, name: str, trials: Collection[int]) -> dict[int, Any]:
    """An attribute of the trials that have it."""
    rows = connection.execute(_ATTRIBUTES, {"ids": list(trials), "key": name})
    return {trial: json.loads(text) for trial, text in rows}


def replace_attribute(storage: RDBStorage, trial: int, name: str, value: Any) -> bool:
    """Gives a user attribute that a running trial has another value, in one statement.

    Optuna first reads the trial.

    Args:
        storage: where the study lies.
        trial: the id of the trial.
        name: of the attribute.
        value: what JSON can say.

    Returns:
        Whether that was possible; if not, nothing has changed.
    """
    replacement = {"trial": trial, "name": name, "text": json.dumps(value)}
    try:
        with storage.engine.begin() as connection:
            return connection.execute(_REPLACED, replacement).rowcount == 1
    except SQLAlchemyError:
        return False
