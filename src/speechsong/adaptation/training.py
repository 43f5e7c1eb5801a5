"""The training loop: batches, the best epoch, and a state file that a killed run resumes from.

The epoch with the best accuracy on the validation part (the first of equals) is kept. After an epoch, all that
training needs goes to the state file."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from speechsong import files, logs, metrics
from speechsong.adaptation import checkpoints
from speechsong.adaptation.domains import Domain
from speechsong.adaptation.learners import LinearLearner, PeftLearner
from speechsong.adaptation.stages import Stage, Training
from speechsong.errors import UserError

# so many batches are sorted by length together: like lengths meet, and yet hardly any two epochs have the same batches
POOL = 8
# epochs that end sooner after the last state are not worth the disk
STATE_SECONDS = 1.0


@dataclass
class Progress:
    """How far training is.

    Attributes
    ----------
    validation : list of float
        Accuracy on the validation part after each epoch.
    best_epoch : int
        Counted from 1; 0 before the first.
    best : dict
        The parameters after that epoch.
    seconds : float
        Spent so far, over all runs.
    diverged : bool
        Whether the loss became infinite or NaN in the epoch after the last of `validation`.
    """

    validation: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    diverged: bool = False


def batches(rows: np.ndarray, lengths: np.ndarray | None, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the batches of one epoch, each of clips of like lengths.

    Parameters
    ----------
    rows : ndarray (n,), int
    lengths : ndarray (n,) or None
        Of the clips in `rows`; None where length does not matter.
    size
        Of a batch; the last one drawn may be smaller.
    rng
        The source of randomness.

    Returns
    -------
    list of ndarray
        Every row once.
    """
    order = rng.permutation(len(rows))
    if lengths is not None:
        pools = [order[i : i + POOL * size] for i in range(0, len(order), POOL * size)]
        order = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    cut = [rows[order[i : i + size]] for i in range(0, len(order), size)]
    return [cut[i] for i in rng.permutation(len(cut))]


# weights that grow beyond all bounds are looked for inside
@np.errstate(over="ignore", invalid="ignore")
def fit(
    learner: LinearLearner | PeftLearner,
    domain: Domain,
    training: Training,
    chance: tuple[int, ...],
    state: Path | None = None,
    identity: str = "",
) -> Progress:
    """Train on a domain, from the last finished epoch if there is a state of this very training.

    Parameters
    ----------
    learner
        At its start.
    domain
    training
    chance
        Seeds of the batches; every epoch has a generator of its own.
    state
        Where the state goes after an epoch, at most once in `STATE_SECONDS`; None to keep none.
    identity
        What the state must be of.

    Returns
    -------
    Progress
        With the learner at the best epoch, unless none was finished.
    """
    split = domain.split
    progress = _resume(state, identity, learner) if state else Progress()
    begun = saved = time.monotonic()
    before = progress.seconds
    done = len(progress.validation)
    lengths = learner.lengths(domain, split.train)
    advance = logs.progress(training.epochs - done, "epochs")
    for epoch in range(done + 1, training.epochs + 1):
        if training.patience is not None and epoch - 1 - progress.best_epoch >= training.patience:
            logs.log.info("no better for %d epochs, stopped after epoch %d", training.patience, epoch - 1)
            break
        rng = np.random.default_rng([*chance, epoch])
        loss = learner.epoch(domain, batches(split.train, lengths, training.batch_size, rng))
        logits = learner.logits(domain, split.validation)
        if not np.isfinite(loss) or not np.isfinite(logits).all():
            progress.diverged = True
            break
        accuracy = metrics.accuracy(domain.answers[split.validation], logits.argmax(axis=1))
        if accuracy > max(progress.validation, default=-1.0):
            progress.best_epoch, progress.best = epoch, learner.parameters()
        progress.validation.append(accuracy)
        progress.seconds = before + time.monotonic() - begun
        if state and time.monotonic() - saved >= STATE_SECONDS:
            saved = time.monotonic()
            _save(state, identity, learner, progress)
        advance(1)
    if progress.best:
        learner.load(progress.best)
    return progress


def _save(state: Path, identity: str, learner: LinearLearner | PeftLearner, progress: Progress) -> None:
    groups = {"now": learner.parameters(), "best": progress.best, "moments": learner.moments()}
    tensors = {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}
    facts = {
        "identity": identity,
        "validation": progress.validation,
        "best_epoch": progress.best_epoch,
        "seconds": progress.seconds,
    }
    # one file, so that it is whole or not there
    with files.atomic(state) as temporary:
        temporary.write_bytes(save_tensors(tensors, metadata={"progress": json.dumps(facts)}))


def _resume(state: Path, identity: str, learner: LinearLearner | PeftLearner) -> Progress:
    if not state.is_file():
        return Progress()
    groups: dict[str, dict[str, np.ndarray]] = {"now": {}, "best": {}, "moments": {}}
    try:
        with safe_open(state, framework="numpy") as stored:
            facts = json.loads((stored.metadata() or {}).get("progress", "{}"))
            for key in stored.keys():  # noqa: SIM118 (safe_open is no dictionary)
                group, name = key.split("/", 1)
                groups[group][name] = stored.get_tensor(key)
    except (SafetensorError, ValueError, KeyError):
        facts = {}
    if facts.get("identity") != identity:
        logs.log.info("%s is of another training; started anew", state)
        return Progress()
    learner.load(groups["now"])
    learner.set_moments(groups["moments"])
    logs.log.info("gone on after epoch %d", len(facts["validation"]))
    return Progress(facts["validation"], facts["best_epoch"], groups["best"], facts["seconds"])


def run(
    stage: Stage,
    learner: LinearLearner | PeftLearner,
    domains: dict[str, Domain],
    state: str | Path,
    about: list,
    outputs: dict[str, str],
) -> None:
    """Train and test one stage.

    Parameters
    ----------
    stage
    learner
        At its random start.
    domains
        `stage.domains`.
    state
        Where unfinished training is kept.
    about
        What tells of all that the stage depends on (`files.stamps`): a state that was made from other things is not
        gone on with.
    outputs
        Where `checkpoint`, `table` and `predictions` go.

    Raises
    ------
    UserError
        Where stage one's checkpoint does not fit, or the loss is not finite any more. The best parameters so far are
        then beside the state.
    """
    state = Path(state)
    train = domains[stage.domains[0]]
    if stage.start is not None:
        parameters, description = checkpoints.read(stage.start)
        wanted = {
            "encoder": checkpoints.identity(stage.encoder),
            "weights": train.maker["weights"],
            "emotions": list(stage.emotions),
            "approach": stage.approach,
        }
        checkpoints.check(stage.start, description, wanted)
        checkpoints.check_shapes(stage.start, parameters, learner.named)
        learner.load(parameters)
    description = stage.describe()
    identity = hashlib.sha256(json.dumps([description, about]).encode()).hexdigest()
    progress = fit(learner, train, stage.training, (stage.seed, stage.number), state, identity)
    counts = checkpoints.count(learner.optimised())
    description |= train.maker | {
        "best_epoch": progress.best_epoch,
        "validation": progress.validation,
        "trainable_parameters": counts,
    }
    if progress.diverged:
        _diverged(stage, state, progress, description)
    table, predictions = [], []
    for name in stage.domains:
        domain = domains[name]
        logits = learner.logits(domain, domain.split.test)
        rows, some = _test(stage, name, domain, logits)
        table.append(
            rows
            | {
                "best_epoch": progress.best_epoch,
                "seconds": round(progress.seconds, 2),
                "trainable_parameters": sum(counts.values()),
            }
            | {f"parameters_{part}": value for part, value in counts.items()}
        )
        predictions += some
    checkpoints.write(outputs["checkpoint"], progress.best, description)
    files.write_rows(outputs["predictions"], predictions)
    files.write_rows(outputs["table"], table)
    state.unlink(missing_ok=True)


def _diverged(stage: Stage, state: Path, progress: Progress, description: dict) -> None:
    kept = "nothing was learnt before"
    if progress.best:
        path = state.with_name(f"{state.stem}-best.safetensors")
        checkpoints.write(path, progress.best, description)
        kept = f"the best so far, epoch {progress.best_epoch}, is kept as {path}"
    state.unlink(missing_ok=True)
    direction = " to ".join(filter(None, (stage.source, stage.target)))
    raise UserError(
        f"{stage.model}, {stage.approach}, {direction}: the loss is not a finite number in epoch "
        f"{len(progress.validation) + 1}; lower `adapt.learning_rate.{stage.approach}` ({kept})"
    )


def _test(stage: Stage, name: str, domain: Domain, logits: np.ndarray) -> tuple[dict, list[dict]]:
    keys = stage.labels() | {"test_domain": name}
    true, predicted = domain.answers[domain.split.test], logits.argmax(axis=1)
    row = keys | {
        "accuracy": metrics.accuracy(true, predicted),
        "uar": metrics.uar(true, predicted, len(stage.emotions)),
    }
    predictions = [
        keys
        | {"clip_id": domain.clips[i], "true": stage.emotions[t], "predicted": stage.emotions[p]}
        | {f"logit_{emotion}": float(v) for emotion, v in zip(stage.emotions, values, strict=True)}
        for i, t, p, values in zip(domain.split.test, true, predicted, logits, strict=True)
    ]
    return row, predictions
