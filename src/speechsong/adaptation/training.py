"""The training loop: epochs, the best of them, and a state file from which a killed run resumes.

The parameters after the epoch with the best accuracy on the validation part are kept; of several equally good epochs,
those of the first. The test part is used once, after training.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from speechsong import files, logs, metrics, states
from speechsong.adaptation import checkpoints
from speechsong.adaptation.domains import Domain
from speechsong.adaptation.learners import Learner
from speechsong.adaptation.stages import Stage, Training
from speechsong.errors import UserError

# seconds between two writes of the state file: short epochs are cheaper to repeat than to write
STATE_SECONDS = 1.0


@dataclass
class Progress:
    """How far training has come.

    Attributes
    ----------
    validation : list of float
        Accuracy on the validation part after each epoch.
    best_epoch : int
        Counted from 1; 0 before the first epoch ends.
    best : dict
        The trained parameters after that epoch, by name.
    seconds : float
        Time spent so far, over all runs.
    diverged : bool
        Whether the epoch after the last one in `validation` gave a loss or logits that are not finite.
    """

    validation: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    diverged: bool = False


def batches(rows: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the batches of one epoch at random.

    Batches of similar lengths would need less padding, but length goes with emotion: see docs/adaptation.md.

    Parameters
    ----------
    rows : ndarray (n,), int
        The clips to draw from.
    size
        Clips per batch. One batch may be smaller.
    rng
        Source of randomness.

    Returns
    -------
    list of ndarray
        The rows of each batch; together, every row once.
    """
    order = rng.permutation(rows)
    cut = [order[i : i + size] for i in range(0, len(order), size)]
    # a smaller batch is not always the last
    return [cut[i] for i in rng.permutation(len(cut))]


def fit(
    learner: Learner,
    domain: Domain,
    training: Training,
    seeds: tuple[int, ...],
    state: Path | None = None,
    identity: str = "",
) -> Progress:
    """Train on a domain. Resumes after the last saved epoch if the state file belongs to this training.

    Parameters
    ----------
    learner
        At its initial weights; afterwards at those of the best epoch, if one was finished.
    domain
        Trained on its training part; its validation part selects the epoch.
    training
        Settings.
    seeds
        Seeds of the batches. Together with the epoch's number they seed a generator for each epoch.
    state
        The state file, written after an epoch, at most once every `STATE_SECONDS`. None to keep none.
    identity
        Digest of all that the training depends on. A state file with another one is ignored.

    Returns
    -------
    Progress
        Progress over all epochs, including those before a resumption.
    """
    train, validation = domain.split.train, domain.split.validation
    progress = _resume(state, identity, learner) if state else Progress()
    begun = saved = time.monotonic()
    seconds_before = progress.seconds
    done = len(progress.validation)
    advance = logs.progress(training.epochs - done, "epochs")
    for epoch in range(done + 1, training.epochs + 1):
        if training.patience is not None and epoch - 1 - progress.best_epoch >= training.patience:
            logs.log.info("no better validation accuracy in %d epochs; stopped early", training.patience)
            break
        # a generator of its own for each epoch: a resumed run draws the same batches
        rng = np.random.default_rng([*seeds, epoch])
        loss = learner.train_epoch(domain, batches(train, training.batch_size, rng))
        logits = learner.logits(domain, validation)
        if not np.isfinite(loss) or not np.isfinite(logits).all():
            progress.diverged = True
            break
        accuracy = metrics.accuracy(domain.answers[validation], logits.argmax(axis=1))
        if accuracy > max(progress.validation, default=-1.0):
            progress.best_epoch, progress.best = epoch, learner.parameters()
        progress.validation.append(accuracy)
        progress.seconds = seconds_before + time.monotonic() - begun
        if state and time.monotonic() - saved >= STATE_SECONDS:
            saved = time.monotonic()
            _save(state, identity, learner, progress)
        advance(1)
    if progress.best:
        learner.load(progress.best)
    return progress


def _save(state: Path, identity: str, learner: Learner, progress: Progress) -> None:
    groups = {"current": learner.parameters(), "best": progress.best, "optimiser": learner.optimiser_state()}
    facts = {"validation": progress.validation, "best_epoch": progress.best_epoch, "seconds": progress.seconds}
    states.write(state, identity, groups, facts)


def _resume(state: Path, identity: str, learner: Learner) -> Progress:
    found = states.read(state, identity)
    if found is None:
        return Progress()
    groups, facts = found
    learner.load(groups["current"])
    learner.load_optimiser_state(groups["optimiser"])
    logs.log.info("resumed after epoch %d", len(facts["validation"]))
    return Progress(best=groups["best"], **facts)


def run(
    stage: Stage,
    learner: Learner,
    domains: dict[str, Domain],
    state: str | Path,
    stamps: list,
    outputs: dict[str, str],
) -> None:
    """Train and test one stage, and write its checkpoint, a table with one row per tested domain, and its predictions.

    Parameters
    ----------
    stage
        What to train.
    learner
        At its initial weights; stage two replaces them by those of stage one.
    domains
        Those of `stage.tested` and `stage.trained`, by name.
    state
        File that keeps an unfinished training; deleted at the end.
    stamps
        Identify the files that the stage depends on (`files.stamps`). A state made from other files is not resumed.
    outputs
        Paths of `checkpoint`, `table` and `predictions`.

    Raises
    ------
    UserError
        If the checkpoint of stage one does not fit, or the loss is no longer finite. In the second case the best
        parameters so far are kept beside the state file.
    """
    state = Path(state)
    domain = domains[stage.trained]
    if stage.start is not None:
        _load_stage_one(stage.start, stage, domain, learner)
    description = stage.describe() | domain.maker
    identity = hashlib.sha256(json.dumps([description, stamps]).encode()).hexdigest()
    progress = fit(learner, domain, stage.training, (stage.seed, stage.number), state, identity)
    counts = checkpoints.count(learner.updated())
    description |= {
        "best_epoch": progress.best_epoch,
        "validation": progress.validation,
        "trainable_parameters": counts,
    }
    if progress.diverged:
        _stop_diverged(stage, state, progress, description)
    costs = {
        "best_epoch": progress.best_epoch,
        "seconds": round(progress.seconds, 2),
        "trainable_parameters": sum(counts.values()),
    } | {f"parameters_{part}": value for part, value in counts.items()}
    table, predictions = [], []
    for name in stage.tested:
        scores, answers = _test(stage, name, domains[name], learner)
        table.append(scores | costs)
        predictions += answers
    checkpoints.write(outputs["checkpoint"], progress.best, description)
    files.write_rows(outputs["predictions"], predictions)
    files.write_rows(outputs["table"], table)
    state.unlink(missing_ok=True)


def _load_stage_one(start: str, stage: Stage, domain: Domain, learner: Learner) -> None:
    parameters, description = checkpoints.read(start)
    wanted = {
        "encoder": checkpoints.encoder_identity(stage.encoder),
        "weights": domain.maker["weights"],
        "precision": domain.maker["precision"],
        "emotions": list(stage.emotions),
        "approach": stage.approach,
    }
    checkpoints.check(start, description, wanted)
    checkpoints.check_shapes(start, parameters, learner.model.trained())
    learner.load(parameters)


def _stop_diverged(stage: Stage, state: Path, progress: Progress, description: dict) -> None:
    kept = "no epoch before was finished"
    if progress.best:
        path = state.with_name(f"{state.stem}-best.safetensors")
        checkpoints.write(path, progress.best, description)
        kept = f"the best so far, epoch {progress.best_epoch}, is kept as {path}"
    state.unlink(missing_ok=True)
    direction = " to ".join(filter(None, (stage.source, stage.target)))
    raise UserError(
        f"{stage.model}, {stage.approach}, {direction}: the loss is not a finite number in epoch "
        f"{len(progress.validation) + 1}; lower `adapt.learning_rate.{stage.approach.partition('-')[0]}` ({kept})"
    )


def _test(stage: Stage, name: str, domain: Domain, learner: Learner) -> tuple[dict, list[dict]]:
    """Test on one domain; return its row of the table without the costs, and one row of predictions per clip."""
    rows = domain.split.test
    logits = learner.logits(domain, rows)
    true, predicted = domain.answers[rows], logits.argmax(axis=1)
    labels = stage.labels() | {"test_domain": name}
    scores = labels | {
        "accuracy": metrics.accuracy(true, predicted),
        "uar": metrics.uar(true, predicted, len(stage.emotions)),
    }
    predictions = [
        labels
        | {"clip_id": domain.clips[row], "true": stage.emotions[t], "predicted": stage.emotions[p]}
        | {f"logit_{emotion}": float(value) for emotion, value in zip(stage.emotions, values, strict=True)}
        for row, t, p, values in zip(rows, true, predicted, logits, strict=True)
    ]
    return scores, predictions
