"""Small logs of every format in `samples/`, and what each of them says.

All are of the same run, of six records; numbers of some formats are in percent or rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "samples"

LOSSES = (1.9312, 1.4205, 1.1873, 1.0561, 0.9714, 0.9168)
ACCURACIES = (0.3127, 0.4981, 0.5874, 0.6312, 0.6655, 0.6893)
PERCENT = tuple(round(100 * accuracy, 2) for accuracy in ACCURACIES)


@dataclass(frozen=True)
class Sample:
    """A log and what it says.

    Args:
        file: its name.
        steps: of the records, as the log numbers them.
        metric: what a person calls the metric; None to leave it out.
        column: where the metric is found.
        values: of the metric.
        steps_column: where the steps are found; None where records are counted.
        horizon: what the log says of the length of the run.
        rates: whether it has a learning rate for every record.
        goal: which way is better, as the name says.
        late: whether another column that the metric's name fits comes before its own.
    """

    file: str
    steps: tuple[float, ...]
    column: str = "val_loss"
    steps_column: str | None = "epoch"
    metric: str | None = "val_loss"
    values: tuple[float, ...] = LOSSES
    horizon: float | None = None
    rates: bool = False
    goal: str | None = "minimize"
    late: bool = False

    @property
    def path(self) -> Path:
        return FOLDER / self.file


def every(stride: float, first: float | None = None) -> tuple[float, ...]:
    """Six steps."""
    begin = stride if first is None else first
    return tuple(begin + stride * index for index in range(6))


FROM_0, FROM_1 = every(1, 0), every(1)
ROUNDED = tuple(float(f"{loss:.2e}") for loss in LOSSES)

SAMPLES = (
    # Columns
    Sample("keras_csvlogger.csv", FROM_0),
    Sample("keras_csvlogger.csv.gz", FROM_0),
    Sample("lightning_metrics.csv", FROM_0, rates=True),
    Sample("timm_summary.csv", FROM_0, "eval_loss", rates=True),
    Sample("ultralytics_results.csv", FROM_1, "val/box_loss", rates=True),
    Sample("german.csv", FROM_1),
    Sample("excel_sep.csv", FROM_1),
    Sample("powershell_utf16.txt", FROM_1),
    Sample("sb3_monitor.csv", FROM_1, "r", None, "reward", PERCENT, goal="maximize"),
    Sample(
        "sb3_progress.csv",
        FROM_1,
        "rollout/ep_rew_mean",
        "time/iterations",
        "reward",
        PERCENT,
        goal="maximize",
    ),
    Sample("lcurve.out", every(100, 0), "rmse_val", "step", values=ROUNDED, rates=True),
    Sample("savetxt.txt", FROM_1),
    Sample("savetxt_bare.txt", every(10), "column 2", "column 1", None, goal=None),
    Sample("catboost_learn_error.tsv", FROM_0, "RMSE", "iter", "rmse"),
    Sample("fastai.txt", FROM_0, "valid_loss"),
    Sample("skorch.txt", FROM_1, "valid_loss"),
    Sample("spacy.txt", every(200, 0), "LOSS NER", "#", "loss ner", tuple(100 * x for x in LOSSES)),
    Sample("gradient_boosting.txt", every(10), "Train Loss", "Iter", "train_loss"),
    Sample("wandb_export.csv", every(50), "val_loss", "Step"),
    Sample("mlflow_val_loss", FROM_0, "mlflow_val_loss", "step"),
    Sample("tidy.csv", every(10), "val_loss", "step"),
    Sample("by_phase.csv", FROM_1, "val/loss"),
    Sample("ray_progress.csv", FROM_1, "val_loss", "training_iteration", rates=True),
    Sample("pandas_print.txt", FROM_1),
    Sample("psql.txt", FROM_1),
    Sample("flair_loss.tsv", FROM_1, "DEV_LOSS", "EPOCH", rates=True),
    Sample("mlflow_export.csv", FROM_0, "val_loss", "step"),
    Sample("bare_numbers.txt", FROM_1, "value", None, None, goal=None),
    # JSON documents
    Sample("keras_history.json", FROM_1, "val_loss", None),
    Sample("keras_history_nested.json", FROM_1, "training_history/val_loss", None, horizon=20),
    Sample("xgboost_evals.json", FROM_1, "validation_0/logloss", None),
    Sample("dataframe_columns.json", FROM_1),
    Sample("dataframe_records.json", FROM_1),
    Sample("dataframe_index.json", FROM_1),
    Sample("dataframe_split.json", FROM_1),
    Sample("dataframe_table.json", FROM_1),
    Sample("catboost_training.json", FROM_0, "test/RMSE", "iteration", horizon=20),
    Sample("trainer_state.json", every(0.5), "eval_loss", horizon=10, rates=True),
    Sample("tensorboard_download.json", every(100), "value", "step", None, goal=None),
    Sample("step_pairs.json", every(100), "val_loss", "step"),
    Sample("assigned_history.txt", FROM_1, "val_loss", None),
    Sample("printed_history.txt", FROM_1, "val_loss", None),
    # JSON lines
    Sample("wandb_history.jsonl", every(20, 0), "val/loss", "_step"),
    Sample("detectron2_metrics.json", every(20, 19), "total_loss", "iteration", "loss", rates=True),
    Sample("mmcv.log.json", FROM_1, "val/loss", rates=True),
    Sample(
        "mmengine_scalars.json",
        FROM_1,
        "accuracy/top1",
        "step",
        "top1",
        tuple(100 * x for x in ACCURACIES),
        goal="maximize",
    ),
    Sample(
        "llama_factory.jsonl", every(80), "eval_loss", "current_steps", horizon=1200, rates=True
    ),
    Sample("ray_result.json", FROM_1, "val_loss", "training_iteration", rates=True),
    Sample("deit_log.txt", FROM_0, "test_loss", rates=True),
    # Drawn tables
    Sample("markdown.md", FROM_1),
    Sample("rich_table.txt", FROM_1),
    Sample("tabulate_grid.txt", FROM_1),
    Sample("polars.txt", FROM_1),
    Sample(
        "sb3_stdout.txt",
        FROM_1,
        "rollout/ep_rew_mean",
        "time/iterations",
        "reward",
        PERCENT,
        goal="maximize",
    ),
    # Lines of text
    Sample("keras_stdout.log", FROM_1, horizon=20),
    Sample("keras3_stdout.log", FROM_1, horizon=20),
    Sample("nanogpt.log", every(100, 0), "val loss", "step", horizon=2000),
    Sample("modded_nanogpt.log", every(125, 0), "val_loss", "step", horizon=6200),
    Sample("fairseq_old.log", FROM_1, "valid/loss", rates=True),
    Sample("fairseq.log", FROM_1, "valid/loss", rates=True),
    Sample("fairseq_json.log", FROM_1, "valid_loss"),
    Sample(
        "megatron.log",
        every(100),
        "validation/lm loss value",
        "iteration",
        horizon=5000,
        rates=True,
    ),
    Sample("mmengine.log", FROM_1, "val/loss", rates=True),
    Sample("mmcv_iter.log", every(50), "loss", "iter", "loss", horizon=40_000, rates=True),
    Sample("detectron2.log", every(20, 19), "total_loss", "iter", "loss", rates=True),
    Sample("paddledetection.log", FROM_0, "train/loss", metric="train_loss", rates=True),
    Sample(
        "pytorch_imagenet.log",
        FROM_0,
        "Acc@1",
        metric="acc@1",
        values=PERCENT,
        goal="maximize",
        late=True,
    ),
    Sample("timm.log", FROM_0, "test/Loss", rates=True),
    Sample("pytorch_mnist.log", FROM_1, "test/Average loss"),
    Sample("transfer_tutorial.log", FROM_0, "val Loss", horizon=25),
    Sample("espnet.log", FROM_1, "valid/loss", rates=True),
    Sample("darknet.log", every(100), "avg loss", "iteration", "avg loss", rates=True),
    Sample("xgboost.log", every(10, 0), "eval-rmse", "iteration", "rmse eval"),
    Sample("xgboost_tracker.log", FROM_0, "validation-logloss", "iteration"),
    Sample("lightgbm.log", every(10), "valid_0's l2", "iteration", "valid l2"),
    Sample("catboost.log", FROM_0, "test", "iteration", "test", goal=None),
    Sample("hf_stdout.log", every(0.5), "eval_loss", rates=True),
    Sample("key_value.log", FROM_1, "val_loss", "step", horizon=20, rates=True),
    Sample("logging.log", FROM_1, "validation loss"),
    Sample("tqdm_bar.log", FROM_0),
    Sample("tqdm_epochs.log", FROM_1, "val_loss", "step", horizon=20),
    Sample("caffe.log", every(100, 0), "test/loss", "iteration"),
    Sample("numpy_dicts.log", FROM_1),
    Sample("allennlp.log", FROM_0, "validation/loss"),
    Sample("decimal_commas.log", FROM_1),
    Sample("hf_quoted.log", every(0.5), "eval_loss", rates=True),
    Sample("ignite.log", FROM_1, "validation/Avg loss"),
    Sample("composer.log", FROM_1, "Eval metrics/eval/CrossEntropy", horizon=10),
    Sample("tensorflow_estimator.log", every(100, 0), "loss", "step", "loss"),
    Sample("mxnet.log", FROM_0, "Validation-cross-entropy"),
    Sample("speechbrain.txt", FROM_1, "valid loss", rates=True),
    Sample("results.yaml", FROM_1),
    Sample(
        "ultralytics_stdout.log",
        FROM_1,
        "mAP50",
        metric="map50",
        values=ACCURACIES,
        horizon=100,
        goal="maximize",
    ),
    Sample(
        "pycocotools.log",
        FROM_1,
        "AP@0.50:0.95/all",
        metric="ap@0.50:0.95/all",
        values=ACCURACIES,
        goal="maximize",
    ),
    # TensorBoard
    Sample("events.out.tfevents.1718000000", every(10), "val/loss", "step"),
)
