"""What names in logs mean, and which column a person means by a name."""

from __future__ import annotations

import pytest

from lcpfn.errors import InputError
from lcpfn.logs.columns import find_metric, find_named, is_beside_the_point, step_rank
from lcpfn.logs.names import goal_of, is_rate, meaning, phase_of
from lcpfn.logs.table import Record, Table, listed

LOWER = """
loss val_loss train/loss_cls eval_loss error val_err error_rate merror rmse val_rmse MAE mse
mean_squared_error perplexity ppl lm_loss_PPL nll neg_log_likelihood negative_log_likelihood wer
CER fid logloss binary_logloss cross_entropy val/CrossEntropy bits_per_byte kl_divergence RMSE
test/RMSE policy_gradient_loss regret accuracy_loss fid_score brier_score FID/score wer_score
perplexity_score crps val_mase mpjpe
"""
HIGHER = """
accuracy val_acc eval_accuracy top1 accuracy/top1 Acc@1 metrics/mAP50(B) mAP_0.5 bbox/AP50 auc
val_auc roc_auc aucpr f1 f1_score eval_f1 bleu sacrebleu rougeL mIoU IoU dice r2 pearson ndcg@10
reward ep_rew_mean rollout/ep_rew_mean episode_reward_mean mean_return win_rate success_rate
psnr ssim log_likelihood elbo precision recall exact_match neg_mean_squared_error
explained_variance f1_score score val_score nDCG@10 Top-1 Prec@1 top@5 cosine_similarity si_sdr
"""
HIGHER += """
r AverageEpRet mean_io_u_5 val_one_hot_mean_io_u val_multiclassjaccardindex val_jacc_coef eval_exact
val_coefficient_of_determination val_nse MeanIU IoU.error Acc.background ENTS_F rewards/accuracies
dep_uas l1_auc
"""
LOWER += """
val_logcosh ce-mean-words exploitability viol_rate cross_entropy train/entropy_loss
G_L1 decode.loss_ce negative_sample_loss
"""
UNCLEAR = (
    *("Rewards/rejected", "Logps/chosen", "entropy", "policy_entropy", "Score_G", "Score_D"),
    *("l1_true_positives", "l1_false_negatives", "l2_norm", "ER"),
    *("value", "x", "column 2", "epoch", "length", "grad_norm", "output"),
)


@pytest.mark.parametrize("name", [*LOWER.split(), "valid_0's l2", "lm loss PPL"])
def test_lower_is_better(name: str) -> None:
    assert goal_of(name) == "minimize"


@pytest.mark.parametrize("name", HIGHER.split())
def test_higher_is_better(name: str) -> None:
    assert goal_of(name) == "maximize"


@pytest.mark.parametrize("name", UNCLEAR)
def test_the_name_does_not_say(name: str) -> None:
    assert goal_of(name) is None


@pytest.mark.parametrize(
    "name", ["val_loss", "eval_loss", "val/loss", "valid loss", "validation/epoch_loss", "evalLoss"]
)
def test_the_same_in_other_words(name: str) -> None:
    assert meaning(name) == meaning("val_loss")
    assert phase_of(name) == "val"


def test_the_last_part_of_a_name_tells_the_data() -> None:
    assert phase_of("training_history/val_loss") == "val"
    assert phase_of("validation_0/logloss") == "val"
    assert phase_of("train/loss") == phase_of("learn/RMSE") == "train"
    assert phase_of("loss") is None


@pytest.mark.parametrize(
    "name", ["lr", "LR", "learning_rate", "train/learning_rate", "lr-AdamW", "lr/pg0", "train_lr"]
)
def test_learning_rates(name: str) -> None:
    assert is_rate(name) and is_beside_the_point(name)


@pytest.mark.parametrize("name", ["lrap", "val_loss", "color", "girl", "error_rate"])
def test_no_learning_rates(name: str) -> None:
    assert not is_rate(name)


@pytest.mark.parametrize(
    "name",
    [
        "epoch",
        "global_step",
        "train/global_step",
        "time/total_timesteps",
        "timesteps_total",
        "iterations",
        "evaluations",
        "_step",
    ],
)
def test_steps(name: str) -> None:
    assert step_rank(name) is not None


def table(*columns: str, cut: bool = False) -> Table:
    rows = [Record(line, {name: float(line) for name in columns}) for line in (1, 2)]
    return Table("run.csv", list(columns), rows, cut=cut)


def found(wanted: str, *columns: str, cut: bool = False) -> str:
    return find_named(table(*columns, cut=cut), "metric", wanted).column


class TestFindMetric:
    def test_exactly_before_all_else(self) -> None:
        assert found("loss", "val_loss", "loss", "Loss") == "loss"

    def test_in_any_case(self) -> None:
        assert found("val_loss", "loss", "Val_Loss") == "Val_Loss"

    @pytest.mark.parametrize("name", ["run - val_loss", "rollout/val_loss", "my.val_loss"])
    def test_by_the_end_of_its_name(self, name: str) -> None:
        assert found("val_loss", "loss", name) == name

    def test_the_end_is_one_of_words(self) -> None:
        assert found("loss", "gloss", "val_loss") == "val_loss"

    def test_by_its_meaning(self) -> None:
        assert found("val_loss", "train/loss", "eval/loss") == "eval/loss"
        assert found("reward", "rollout/ep_rew_mean", "rollout/ep_len_mean") == (
            "rollout/ep_rew_mean"
        )
        assert found("val_acc", "acc", "validation_accuracy") == "validation_accuracy"

    def test_by_more_words(self) -> None:
        assert found("val_loss", "train/box_loss", "val/box_loss") == "val/box_loss"

    def test_the_plainer_of_two(self) -> None:
        assert found("val_loss", "rmse_val", "rmse_e_val", "rmse_f_val") == "rmse_val"

    def test_the_only_error_of_the_validation_data(self) -> None:
        assert found("val_loss", "train/rmse", "valid/rmse", "valid/auc") == "valid/rmse"
        assert found("val_loss", "learn/RMSE", "test/RMSE") == "test/RMSE"

    def test_a_training_loss_is_no_validation_loss(self) -> None:
        for other in ("loss", "train_loss", "total_loss"):
            with pytest.raises(InputError, match=r"no column 'val_loss' for the metric"):
                found("val_loss", "epoch", other)

    def test_two_that_fit_are_listed(self) -> None:
        with pytest.raises(InputError, match=r"2 columns that could be 'loss': .*train_loss, val_"):
            found("loss", "train_loss", "val_loss")
        with pytest.raises(InputError, match="val/box_loss, val/cls_loss; name one of them"):
            found("val_loss", "val/box_loss", "val/cls_loss")

    def test_what_is_said_of_it(self) -> None:
        choice = find_metric(table("epoch", "eval_loss"), "val_loss", None)
        assert choice.notes == ["val_loss is read from column 'eval_loss'"]
        assert find_metric(table("epoch", "Val_Loss"), "val_loss", None).notes == []

    def test_columns_still_to_come_count(self) -> None:
        with pytest.raises(InputError):
            found("loss", "val_loss", cut=True)
        assert found("val_loss", "eval_loss", cut=True) == "eval_loss"

    def test_did_you_mean(self) -> None:
        with pytest.raises(InputError, match=r"did you mean 'val_loss'\? its columns are"):
            found("val_los", "epoch", "val_loss")
        with pytest.raises(InputError, match=r"did you mean 'mIoU'"):
            found("val_miou", "epoch", "loss", "mIoU")

    def test_messages_stay_short(self) -> None:
        many = [f"{'layer' * 20}{index}" for index in range(3000)]
        with pytest.raises(InputError) as caught:
            found("val_loss", *many)
        assert len(str(caught.value)) < 800
        assert "and 2994 more" in str(caught.value)
        assert listed([f"m{index}" for index in range(20)]).endswith("m11 and 8 more")


@pytest.mark.parametrize("name", ["mAP50-95", "mAP_0.5:0.95", "mAP@.5:.95", "map50-95"])
def test_one_mean_average_precision_in_all_spellings(name: str) -> None:
    assert meaning(f"metrics/{name}") == meaning("metrics/mAP50-95") != meaning("metrics/mAP50")
    assert goal_of(name) == "maximize"
    assert meaning("metrics/mAP_0.5") == meaning("metrics/mAP50")


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("Std of Reward", None),
        ("StdEpRet", None),
        ("reward_penalty", None),
        ("-elbo", "minimize"),
        ("elbo", "maximize"),
        ("train/-elbo", "minimize"),
        ("CIDEr", "maximize"),
    ],
)
def test_spreads_penalties_and_signs(name: str, goal: str | None) -> None:
    assert goal_of(name) == goal
