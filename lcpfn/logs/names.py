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
    "ret": "reward",
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
assd fvd mcd err1 err5 rmsd ce bce ece logcosh exploitability nashconv viol violation violations
"""
_LOWER = frozenset(_LOWER_TEXT.split())
_HIGHER_TEXT = """
acc accuracy top1 top5 acc1 acc5 map map50 ap ap50 ap75 auc auroc aucpr auprc prauc f1 fscore f2
fbeta precision recall bleu sacrebleu rouge rouge1 rouge2 rougel rougelsum meteor cider chrf
dice iou miou jaccard r2 pearson spearman spearmanr pearsonr corr correlation mcc matthews kappa
ndcg mrr hits psnr ssim reward rew rewards return returns score win winrate success elo
likelihood elbo comet em match sensitivity specificity explained gini ks hit fitness prec prec1
prec5 pesq stoi sdr sisdr sisnr snr similarity hota amota nds pq sharpe ret iu jacc exact
determination nse uas las
"""
_HIGHER = frozenset(_HIGHER_TEXT.split())
# A word that says so only where no other does: an fid_score is still an FID.
_WEAK = frozenset(("score",))
# Words that say so at the end of a name alone: an l1_auc may be that of the first level.
_LAST = frozenset(("l1", "l2"))
# Long words that are written in one with others: multiclassjaccardindex.
_HIGHER_PARTS = ("accuracy", "precision", "recall", "jaccard", "f1score", "auroc", "specificity")
_LOWER_PARTS = ("crossentropy", "perplexity", "squarederror", "absoluteerror")
_LONG = 8
# What one side of a comparison got, or how sure a policy is: neither way is better.
_NEITHER = frozenset(
    ("chosen", "rejected", "entropy", "positives", "negatives", "penalty", "penalties")
)
# Of spaCy: ents_f, ents_p and ents_r are an F-score, a precision and a recall.
_SPACY = re.compile(
    r"(?:ents|sents|spans|cats|rels|morph)(?:_(?:macro|micro))?_[fpr]$", re.IGNORECASE
)
_OF_COCO_TEXT = "ap ar map map50 map75 ap50 ap75 aps apm apl ars arm arl"
_OF_COCO = frozenset(_OF_COCO_TEXT.split())
# x/lr0, optim0_lr0
_RATE_OF_A_GROUP = re.compile(r"(?:^|[/_])lr\d$")
_EXTREMES = frozenset(("best", "worst", "min", "max", "lowest", "highest", "std"))
_NEGATED = frozenset(("neg", "negative"))
# How much a metric varies is not how good it is.
_SPREADS = frozenset(("std", "stddev"))
# mAP50-95, mAP_0.5:0.95, mAP@.5:.95; mAP_0.5, mAP@.5
_MAP_50_95 = re.compile(r"map[_@]?(?:0?\.50?|50)[:-](?:0?\.)?95", re.IGNORECASE)
_MAP_50 = re.compile(r"map[_@]0?\.50?(?![\d:])", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Za-z][a-z]*\d*|\d+")
_SPELLINGS = (
    ("mAP", "map"),
    ("CIDEr", "cider"),
    ("PnL", "pnl"),
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
    ("io_u", "iou"),
    ("Top@", "top"),
)


@functools.lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: eval_accuracy, evalAccuracy and eval/accuracy alike."""
    name = _MAP_50.sub("map50", _MAP_50_95.sub("map50to95", name))
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

    The last word that says anything decides: `accuracy_loss` is a loss; `fid_score` is an FID. Of
    `IoU.error`, what stands before the point does: the rest is a class of that name.
    """
    last = name.rsplit("/", 1)[-1].strip()
    if last.lower() == "r" or _SPACY.search(last):
        return MAXIMIZE
    measure, point, _ = last.partition(".")
    if point and any(map(_direction, words(measure))):
        name = measure
    found = words(name)
    telling = [word for word in found if _direction(word)]
    if not telling or _says_neither(found, telling):
        return None
    deciding = next((word for word in reversed(telling) if word not in _WEAK), telling[-1])
    goal = _direction(deciding)
    # The loss of negative samples is one like any other.
    negated = _NEGATED & set(found) and not {"sample", "samples"} & set(found)
    if negated or last.startswith("-"):
        goal = MINIMIZE if goal == MAXIMIZE else MAXIMIZE
    return goal


def _direction(word: str) -> str | None:
    """Which way is better, as one word says."""
    if word in _LOWER:
        return MINIMIZE
    if word in _HIGHER:
        return MAXIMIZE
    if len(word) >= _LONG and any(part in word for part in _LOWER_PARTS):
        return MINIMIZE
    if len(word) >= _LONG and any(part in word for part in _HIGHER_PARTS):
        return MAXIMIZE
    return None


def _says_neither(found: tuple[str, ...], telling: list[str]) -> bool:
    """Whether a word takes from the others what they say."""
    if set(telling) <= _LAST and found[-1] not in _LAST:
        return True
    if not _SPREADS.isdisjoint(found):
        return True
    if set(telling) <= _WEAK and not {"d", "g"}.isdisjoint(found):
        # The scores of a generator and its discriminator.
        return True
    if "entropy" in found and found[-1] == "entropy":
        return "cross" not in found
    return found[-1] in _NEITHER


def is_of_coco(name: str) -> bool:
    """Whether a metric is an average precision or recall as pycocotools gives them.

    It writes -1 where there are no objects of a size.
    """
    return not _OF_COCO.isdisjoint(words(name))


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
        or bool(_RATE_OF_A_GROUP.search(lower))
    )
