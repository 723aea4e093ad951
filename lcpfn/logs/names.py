"""What the names in logs mean: which part of the data, which metric, which way is better."""

from __future__ import annotations

import functools
import re

TRAIN, VALIDATION, TEST = "train", "val", "test"
MAXIMIZE, MINIMIZE = "maximize", "minimize"

PHASES = {
    "train": TRAIN,
    "training": TRAIN,
    "learn": TRAIN,
    "trn": TRAIN,
    "val": VALIDATION,
    "vali": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "validate": VALIDATION,
    "eval": VALIDATION,
    "evaluation": VALIDATION,
    "validating": VALIDATION,
    "evaluating": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
_SAME = {
    "accuracy": "acc",
    "perplexity": "ppl",
    "err": "error",
    "rew": "reward",
    "rewards": "reward",
    "return": "reward",
    "returns": "reward",
    "r": "reward",
    "episode": "ep",
    "learning": "lr",
    "losses": "loss",
    "fscore": "f1",
    "auroc": "auc",
    "logloss": "loss",
}
# Words that tell no two metrics of a log apart.
_FILLERS = (
    "mean",
    "avg",
    "average",
    "value",
    "epoch",
    "metrics",
    "metric",
    "ep",
    "rollout",
    "rate",
)
_LOWER_TEXT = """
loss losses error errors err perplexity ppl rmse mse mae mape rmsle smape wer cer ter nll bpc
bpb bpd bits logloss crossentropy entropy xent l1 l2 fid fid50 kid kl kld deviance huber hinge eer
cost regret distance lpips mlogloss merror quantile residual residue poisson gamma tweedie
nloglik dfl objective fde ade absrel cindexloss brier crps pinball mase nmse mpjpe epe chamfer hd95
assd fvd mcd err1 err5 rmsd
"""
_LOWER = frozenset(_LOWER_TEXT.split())
_HIGHER_TEXT = """
acc accuracy top1 top5 acc1 acc5 map map50 ap ap50 ap75 auc auroc aucpr auprc prauc f1 fscore f2
fbeta precision recall bleu sacrebleu rouge rouge1 rouge2 rougel rougelsum meteor cider chrf
dice iou miou jaccard r2 pearson spearman spearmanr pearsonr corr correlation mcc matthews kappa
ndcg mrr hits psnr ssim reward rew rewards return returns score win winrate success elo
likelihood elbo comet em match sensitivity specificity explained gini ks hit fitness prec prec1
prec5 pesq stoi sdr sisdr sisnr snr similarity hota amota nds pq sharpe
"""
_HIGHER = frozenset(_HIGHER_TEXT.split())
# A word that says so only where no other does: an fid_score is still an FID.
_WEAK = frozenset(("score",))
_EXTREMES = frozenset(("best", "worst", "min", "max", "lowest", "highest", "std"))
_NEGATED = frozenset(("neg", "negative"))
_TOKEN = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Za-z][a-z]*\d*|\d+")
_SPELLINGS = (
    ("mAP", "map"),
    ("mIoU", "miou"),
    ("IoU", "iou"),
    ("logLoss", "logloss"),
    ("LogLoss", "logloss"),
    ("PRAUC", "prauc"),
    ("mAUC", "auc"),
    ("nDCG", "ndcg"),
    ("top-", "top"),
    ("Top-", "top"),
    ("top@", "top"),
    ("Top@", "top"),
)


@functools.lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: eval_accuracy, evalAccuracy and eval/accuracy alike."""
    for spelling, plain in _SPELLINGS:
        name = name.replace(spelling, plain)
    return tuple(word.lower() for word in _TOKEN.findall(name))


@functools.lru_cache(maxsize=4096)
def meaning(name: str) -> frozenset[str]:
    """What a name says, in whatever words: the same for val_loss, eval/loss and valid_loss."""
    found = words(name)
    kept = {PHASES.get(word, _SAME.get(word, word)) for word in found}
    core = {word for word in kept if word not in _FILLERS and not word.isdigit()}
    return frozenset(core or kept)


def is_extreme(name: str) -> bool:
    """Whether a name is that of the best or the worst of several values, such as best_val_loss."""
    return not _EXTREMES.isdisjoint(words(name))


def phase_of(name: str) -> str | None:
    """Which part of the data a metric is of, where its name says so; what stands last decides."""
    for part in reversed(name.split("/")):
        for word in words(part):
            if word in PHASES:
                return PHASES[word]
    return None


def goal_of(name: str) -> str | None:
    """Which way a metric is better, where its name says so.

    The last word that says anything decides: `accuracy_loss` is a loss; `fid_score` is an FID.
    """
    found = words(name)
    telling = [word for word in found if word in _LOWER or word in _HIGHER]
    if not telling:
        return None
    last = next((word for word in reversed(telling) if word not in _WEAK), telling[-1])
    goal = MINIMIZE if last in _LOWER else MAXIMIZE
    if _NEGATED & set(found):
        goal = MINIMIZE if goal == MAXIMIZE else MAXIMIZE
    return goal


def is_rate(name: str) -> bool:
    """Whether a column holds a learning rate: `lr`, `train/learning_rate`, `lr-AdamW`, `lr/pg0`."""
    lower = name.strip().lower()
    last = lower.rsplit("/", 1)[-1]
    return (
        last in ("lr", "learning_rate", "learning rate", "train_lr", "base_lr", "lr_rate")
        or lower.startswith(("lr-", "lr_", "lr/", "lr ", "learning_rate_", "learning_rate/"))
        or "/lr/" in lower
        or last.startswith(("lr-", "lr_", "lr group"))
        or lower.endswith((" lr", "_lr", " learning rate", "-lr"))
    )
