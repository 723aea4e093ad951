"""What a metric's name says of its bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.logs.name_bounds import bounds_by_name, has_no_ceiling, settings_by_name
from lcpfn.logs.names import goal_of

OPEN = """
reward Reward rewards average_rewards Avg_Reward_100 TotalReward total_reward avgreward reward2
ep_rew_mean rollout/ep_rew_mean eval/mean_reward eprewmean episode_reward_mean rewards/margins
return mean_return episode_return train_return env_runners/episode_return_mean AverageEpRet
test/avg_returns r score Score val_score test/score avg_score Average-Score Avg_Final_Score_100
max_score elo eval/elo_rating psnr PSNR val_calculate_psnr psnr_y snr si_snr SI-SDR sdr sharpe
sharpe_ratio profit total_profit return_percent elbo log_likelihood eval_cider
"""
AS_GUESSED = """
accuracy val_acc win_rate success_rate reward_success_rate rewards/accuracies reward_accuracy
f1_score val_F1_score DEV_F-SCORE r2_score R2 accuracy_score dice_score fid_score brier_score
roc_auc_score silhouette_score bert_score eval_combined_score R ndcg@10 map mAP50-95 ssim pesq
neg_reward negative_reward neg_mean_squared_error neg_log_likelihood reward_loss loss value x
fitness hit_rate reward_rate explained_variance column epoch
"""


@pytest.mark.parametrize("name", [*OPEN.split(), "Average Score", "mean 100 episode reward"])
def test_names_of_what_has_no_ceiling(name: str) -> None:
    assert has_no_ceiling(name)
    assert bounds_by_name("auto", name, "maximize") is None


@pytest.mark.parametrize("name", [*AS_GUESSED.split(), "", "F score", "column 2"])
def test_names_that_do_not_say_so(name: str) -> None:
    assert not has_no_ceiling(name)
    assert bounds_by_name("auto", name, "maximize") == "auto"


@given(st.text())
def test_bounds_of_what_is_to_be_minimised_are_guessed_whatever_it_is_called(name: str) -> None:
    assert bounds_by_name("auto", name, "minimize") == "auto"
    assert bounds_by_name("auto", f"reward {name}", "minimize") == "auto"


@given(st.text(), st.sampled_from([None, (0, 1), (0, None), [0.0, 200.0], np.array([0.0, 1.0])]))
def test_stated_bounds_stay(name: str, stated: Any) -> None:
    assert bounds_by_name(stated, f"reward {name}", "maximize") is stated
    assert settings_by_name({"bounds": stated}, f"reward {name}", "maximize")["bounds"] is stated


@given(st.text())
def test_the_last_word_that_says_anything_decides(name: str) -> None:
    rewards = f"{name}/ep_reward_mean"
    assert has_no_ceiling(rewards) is (goal_of(rewards) == "maximize")
    assert not has_no_ceiling(f"reward {name}/accuracy")


def test_settings_keep_all_else() -> None:
    settings = {"threshold": 0.1}
    told = settings_by_name(settings, "mean_reward", "maximize")
    assert told == {"threshold": 0.1, "bounds": None} and settings == {"threshold": 0.1}
    assert settings_by_name(settings, None, "maximize")["bounds"] == "auto"
