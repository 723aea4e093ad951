"""A study whose hopeless trials are pruned by forecasts of their learning curves."""

from __future__ import annotations

import optuna
import optunahub


def objective(trial: optuna.Trial) -> float:
    """A made-up training of 50 epochs, reported as it goes; returns its last accuracy."""
    level = trial.suggest_float("level", 0, 1)
    speed = trial.suggest_float("speed", 0.05, 0.3)
    accuracy = 0.0
    for epoch in range(50):
        accuracy = level * (1 - (1 - speed) ** (epoch + 1))
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return accuracy


if __name__ == "__main__":
    pruner = optunahub.load_module("pruners/lcpfn").LCPFNPruner(max_steps=50)
    study = optuna.create_study(
        direction="maximize", pruner=pruner, sampler=optuna.samplers.TPESampler(seed=0)
    )
    study.optimize(objective, n_trials=30)

    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.PRUNED:
            decision = trial.user_attrs["lcpfn"]
            print(f"trial {trial.number}, step {decision['step']}: {decision['reason']}")
    epochs = sum(len(trial.intermediate_values) for trial in study.trials)
    print(f"best {study.best_value:.3f}; {epochs} of {50 * len(study.trials)} epochs")
