"""Two-stage adaptation: train on one domain, go on with the other, see what was gained and what was forgotten.

Stage one trains on the source from a random start and is tested on it. Stage two starts from the best checkpoint of
stage one, with a fresh optimiser, trains on the target and is tested on the target and again on the source. Approaches:

baseline : a linear classifier on the mean of the layers.
ws : layers weighted by a softmax that is learnt.
peft : ws on an encoder with adapters (`adapters`).

Averaging over frames and weighting layers commute, so the first two need clip means only. The epoch with the best
accuracy on the validation part (the first of equals) is kept, and the test part is used once. After an epoch all that
training needs goes to a state file; a stage that was killed goes on from there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from speechsong import checkpoints, files, metrics
from speechsong.corpora import Recording
from speechsong.embeddings import read_maker, read_pooled
from speechsong.files import UserError
from speechsong.probe import AdamW, Split, read_split, start
from speechsong.splits import PARTS

# so many batches are sorted by length together: like lengths meet, and yet hardly any two epochs have the same batches
POOL = 8
# epochs that end sooner after the last state are not worth the disk
STATE_SECONDS = 1.0


@dataclass(frozen=True)
class Training:
    """How a stage is trained; names as in the config's `adapt`, where they are explained."""

    epochs: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    patience: int | None = None
    freeze_gate: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of one row of the table.

    Attributes
    ----------
    model, approach, protocol, seed, source
        As in the table.
    target : str or None
        None in stage one.
    encoder : dict
        The encoder's entry in the catalogue.
    emotions : list of str
        The classes, in order.
    layers : list of int
        Hidden states that count.
    training : Training
    adapters : dict
        For `adapters.Settings`, all but its layers; empty unless the approach is peft.
    split : str
        The CSV of the split.
    start : str or None
        The checkpoint of stage one; None in stage one.
    code : str
        Fingerprint of the code.
    """

    model: str
    approach: str
    protocol: str
    seed: int
    source: str
    target: str | None
    encoder: dict
    emotions: list[str]
    layers: list[int]
    training: Training
    adapters: dict
    split: str
    start: str | None
    code: str

    @property
    def number(self) -> int:
        """1 or 2."""
        return 1 if self.target is None else 2

    @property
    def domains(self) -> list[str]:
        """The domain that is trained on, then the one whose forgetting is tested."""
        return list(dict.fromkeys([self.target or self.source, self.source]))

    def labels(self) -> dict:
        """The columns that name the stage in every table."""
        return {
            "model": self.model,
            "approach": self.approach,
            "protocol": self.protocol,
            "seed": self.seed,
            "source": self.source,
            "target": self.target or "",
            "stage": self.number,
        }

    def describe(self) -> dict:
        """What a checkpoint says of itself, as far as it is known before training."""
        training = asdict(self.training)
        return self.labels() | {
            "encoder": checkpoints.identity(self.encoder),
            "window_seconds": self.encoder.get("window_seconds"),
            "blocks": self.encoder["layers"],
            "emotions": list(self.emotions),
            "layers": list(self.layers),
            "settings": training | {k: list(v) if isinstance(v, tuple) else v for k, v in self.adapters.items()},
            "code": self.code,
        }


def stage(params: dict, split: str, start_from: str | None, code: str) -> Stage:
    """Make a stage from the rule's params and its files."""
    training = Training(**params["training"])
    adapters = {key: tuple(value) if isinstance(value, list) else value for key, value in params["adapters"].items()}
    return Stage(**params | {"training": training, "adapters": adapters}, split=split, start=start_from, code=code)


@dataclass(frozen=True)
class Domain:
    """The n clips of one domain: names, classes (n,), parts, what the learner makes logits from, and its encoder.

    The encoder is told by its family and the digest of its weights, both None for log-mel spectra.
    """

    clips: list[str]
    answers: np.ndarray
    split: Split
    inputs: object
    maker: dict[str, str | None]


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


class LinearLearner:
    """A linear classifier on clip means, whose layers are weighted by a softmax that is learnt, or just averaged.

    Parameters
    ----------
    weighted
        Whether the weights of the layers are learnt.
    width, classes, layers
        d, C and N.
    training
    seed
        Of the weights' start.
    """

    def __init__(self, weighted: bool, width: int, classes: int, layers: int, training: Training, seed: int) -> None:
        self.weighted, self.classes = weighted, classes
        # one vector of all parameters, so that the optimiser has one thing to do
        self.flat = np.zeros(classes * (width + 1) + (layers if weighted else 0), np.float32)
        self.named = _views(self.flat, classes, width, weighted)
        weight, bias = start(width, classes, np.random.default_rng(seed))
        self.named["head.weight"][:], self.named["head.bias"][:] = weight.T, bias
        self.optimiser = AdamW(self.flat[None, :, None], training)
        self.gradient = np.zeros_like(self.flat)
        self.slopes = _views(self.gradient, classes, width, weighted)

    def lengths(self, domain: Domain, rows: np.ndarray) -> None:
        """Clip means have no length."""

    def epoch(self, domain: Domain, drawn: list[np.ndarray]) -> float:
        """Take a step a batch; return the mean of their losses."""
        losses = [self._step(domain.inputs[rows], domain.answers[rows]) for rows in drawn]
        return float(np.mean(losses))

    def _step(self, inputs: np.ndarray, answers: np.ndarray) -> float:
        pooled, shares = self._pool(inputs)
        each = np.arange(len(answers))
        logits = pooled @ self.named["head.weight"].T + self.named["head.bias"]
        logits -= logits.max(axis=1, keepdims=True)
        chances = np.exp(logits)
        total = chances.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - logits[each, answers]).mean()
        # the gradient of the mean cross-entropy at the logits
        slope = chances / total
        slope[each, answers] -= 1
        slope /= np.float32(len(answers))
        np.matmul(slope.T, pooled, out=self.slopes["head.weight"])
        slope.sum(axis=0, out=self.slopes["head.bias"])
        if self.weighted:
            back = slope @ self.named["head.weight"]
            at_shares = (inputs @ back[:, :, None]).sum(axis=0)[:, 0]
            self.slopes["layer_weights"][:] = shares * (at_shares - shares @ at_shares)
        self.optimiser.step(self.flat[None, :, None], self.gradient[None, :, None])
        return loss

    def _pool(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if not self.weighted:
            return inputs, None
        shares = np.exp(self.named["layer_weights"] - self.named["layer_weights"].max())
        shares /= shares.sum()
        return shares @ inputs, shares

    def logits(self, domain: Domain, rows: np.ndarray) -> np.ndarray:
        """Compute logits (len(rows), C)."""
        return self.classify(domain.inputs[rows])

    def classify(self, inputs: np.ndarray) -> np.ndarray:
        """Compute logits (n, C) of clip means (n, N, d), or (n, d) where layers are just averaged."""
        return self._pool(inputs)[0] @ self.named["head.weight"].T + self.named["head.bias"]

    def parameters(self) -> dict[str, np.ndarray]:
        """Copy the parameters."""
        return {name: value.copy() for name, value in self.named.items()}

    def optimised(self) -> dict[str, np.ndarray]:
        """Return the parameters that training changes."""
        return self.named

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Set the parameters."""
        for name, value in self.named.items():
            value[...] = parameters[name]

    def moments(self) -> dict[str, np.ndarray]:
        """Return the state of the optimiser."""
        return {"first": self.optimiser.first, "second": self.optimiser.second, "steps": self.optimiser.steps}

    def set_moments(self, moments: dict[str, np.ndarray]) -> None:
        """Set the state of the optimiser."""
        for name, value in self.moments().items():
            value[...] = moments[name]


def _views(flat: np.ndarray, classes: int, width: int, weighted: bool) -> dict[str, np.ndarray]:
    weight, bias, layers = np.split(flat, [classes * width, classes * (width + 1)])
    named = {"head.weight": weight.reshape(classes, width), "head.bias": bias}
    return named | {"layer_weights": layers} if weighted else named


class PeftLearner:
    """An adapted encoder on fronts; bf16 autocast on a GPU, float32 on a CPU.

    On a CPU the same run gives the same bits; a GPU may add up in another order.

    Parameters
    ----------
    model : speechsong.adapters.Adapted
    training
        With `freeze_gate` the gates stay as they are.
    """

    def __init__(self, model, training: Training) -> None:
        import torch

        self.model, self.size = model, training.batch_size
        self.device = model.source.device
        self.named = model.trained()
        if training.freeze_gate:
            for name, parameter in self.named.items():
                parameter.requires_grad_(not name.startswith("gate."))
        self.optimiser = torch.optim.AdamW(
            self.optimised().values(), training.learning_rate, weight_decay=training.weight_decay, fused=True
        )

    def lengths(self, domain: Domain, rows: np.ndarray) -> np.ndarray:
        """Return how long clips are, in seconds."""
        return np.array([domain.inputs.seconds(row) for row in rows])

    def _forward(self, domain: Domain, rows: np.ndarray):
        import torch

        # outside: the frozen front is float32, and kept as it is
        clips = [domain.inputs[row] for row in rows]
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model(clips)

    @contextmanager
    def _memory(self) -> Iterator[None]:
        import torch

        # no smaller batches behind the user's back: their size is part of what is learnt, and it is in the checkpoint
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the GPU's memory does not hold {self.size} clips and what is kept for them; lower `adapt.batch_size` "
                "or `adapt.cache_gb`, or let nothing else use the GPU and run again"
            ) from error

    def epoch(self, domain: Domain, drawn: list[np.ndarray]) -> float:
        """Take a step a batch; return the mean of their losses."""
        import torch

        total = torch.zeros((), device=self.device)
        for rows in drawn:
            with self._memory():
                answers = torch.from_numpy(domain.answers[rows]).to(self.device)
                loss = torch.nn.functional.cross_entropy(self._forward(domain, rows), answers)
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
            # read once an epoch: a GPU is not to wait for Python
            total += loss.detach()
        return float(total) / len(drawn)

    def logits(self, domain: Domain, rows: np.ndarray) -> np.ndarray:
        """Compute logits (len(rows), C), in batches of like lengths."""
        import torch

        order = np.argsort(self.lengths(domain, rows), kind="stable")
        found = np.empty((len(rows), self.model.head.out_features), np.float32)
        with torch.no_grad(), self._memory():
            for first in range(0, len(order), self.size):
                some = order[first : first + self.size]
                found[some] = self._forward(domain, rows[some]).float().cpu().numpy()
        return found

    def parameters(self) -> dict[str, np.ndarray]:
        """Copy the parameters."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.named.items()}

    def optimised(self) -> dict:
        """Return the parameters that training changes."""
        return {name: value for name, value in self.named.items() if value.requires_grad}

    def load(self, parameters: dict[str, np.ndarray]) -> None:
        """Set the parameters."""
        from speechsong import adapters

        adapters.load(self.model, parameters)

    def moments(self) -> dict[str, np.ndarray]:
        """Return the state of the optimiser."""
        return {
            f"{i}.{name}": value.cpu().numpy()
            for i, state in self.optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }

    def set_moments(self, moments: dict[str, np.ndarray]) -> None:
        """Set the state of the optimiser."""
        import torch

        whole = self.optimiser.state_dict()
        for key, value in moments.items():
            i, name = key.split(".")
            whole["state"].setdefault(int(i), {})[name] = torch.from_numpy(np.array(value))
        self.optimiser.load_state_dict(whole)


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
    advance = files.progress(training.epochs - done, "epochs")
    for epoch in range(done + 1, training.epochs + 1):
        if training.patience is not None and epoch - 1 - progress.best_epoch >= training.patience:
            files.log.info("no better for %d epochs, stopped after epoch %d", training.patience, epoch - 1)
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
        files.log.info("%s is of another training; started anew", state)
        return Progress()
    learner.load(groups["now"])
    learner.set_moments(groups["moments"])
    files.log.info("gone on after epoch %d", len(facts["validation"]))
    return Progress(facts["validation"], facts["best_epoch"], groups["best"], facts["seconds"])


def pooled_domains(stage: Stage, embeddings: dict[str, list[str]]) -> dict[str, Domain]:
    """Read what baseline and ws learn from.

    Parameters
    ----------
    stage
    embeddings
        For each domain of the stage its embedding files: layer by layer, in each the emotions in order.

    Returns
    -------
    dict of Domain
        Inputs are clip means, float32: (n, d) averaged over the layers for baseline, (n, N, d) otherwise.

    Raises
    ------
    UserError
        Where a mean is not finite, or the files were made with different weights.
    """
    domains = {}
    first, *others = itertools.chain.from_iterable(embeddings.values())
    maker = read_maker(first)
    for path in others:
        if read_maker(path) != maker:
            raise UserError(f"{path}: was made with other weights than {first}; delete both and run again")
    for name, paths in embeddings.items():
        per = len(stage.emotions)
        layers = []
        for i in range(0, len(paths), per):
            parts = [read_pooled(path) for path in paths[i : i + per]]
            for path, (_, pooled) in zip(paths[i : i + per], parts, strict=True):
                if not np.isfinite(pooled).all():
                    raise UserError(f"{path}: holds features that are not finite; delete the file and run again")
            layers.append(np.concatenate([pooled for _, pooled in parts]))
        clips = [clip for some, _ in parts for clip in some]
        answers = np.repeat(np.arange(per), [len(some) for some, _ in parts])
        inputs = np.mean(layers, axis=0) if stage.approach == "baseline" else np.stack(layers, axis=1)
        domains[name] = _domain(stage, name, clips, answers, inputs, maker)
    return domains


def recorded_domains(stage: Stage, encoder, recordings: dict[str, list[Recording]], limit: float) -> dict[str, Domain]:
    """List what peft learns from.

    Parameters
    ----------
    stage
    encoder : speechsong.encoders.Encoder
    recordings
        Of each domain of the stage.
    limit
        Bytes of fronts that are kept in memory, over all domains.

    Returns
    -------
    dict of Domain
        Inputs are `adapters.Fronts`.
    """
    from speechsong import adapters

    domains = {}
    for name, some in recordings.items():
        # the domain that is trained on comes first and may take it all: the other one is only tested once
        fronts = adapters.Fronts(encoder, [r.path for r in some], limit if name == stage.domains[0] else 0)
        answers = np.array([stage.emotions.index(r.emotion) for r in some])
        maker = {"family": encoder.family, "weights": encoder.weights}
        domains[name] = _domain(stage, name, [r.clip_id for r in some], answers, fronts, maker)
    return domains


def _domain(stage: Stage, name: str, clips: list[str], answers: np.ndarray, inputs: object, maker: dict) -> Domain:
    split = read_split(stage.split, name, {clip: i for i, clip in enumerate(clips)}, stage.seed)
    # by name, so that an approach does not depend on the order in which clips are stored
    parts = (split.train, split.validation, split.test)
    by_name = [np.array(sorted(rows, key=lambda row: clips[row]), dtype=int) for rows in parts]
    for part, rows in zip(PARTS, by_name, strict=True):
        have = set(answers[rows])
        for k, emotion in enumerate(stage.emotions):
            if k not in have:
                raise UserError(
                    f"{stage.split}: domain `{name}` has no clip of `{emotion}` in its {part} part; add recordings, "
                    "leave the emotion out of `emotions`, or change `split`"
                )
    return Domain(clips, answers, Split(*by_name, stage.seed), inputs, maker)


def linear_learner(stage: Stage, domains: dict[str, Domain]) -> LinearLearner:
    """Make the learner of baseline or ws."""
    width = domains[stage.domains[0]].inputs.shape[-1]
    weighted = stage.approach == "ws"
    return LinearLearner(weighted, width, len(stage.emotions), len(stage.layers), stage.training, stage.seed)


def peft_learner(stage: Stage, encoder) -> PeftLearner:
    """Make the learner of peft from an encoder."""
    from speechsong import adapters

    settings = adapters.Settings(**stage.adapters, layers=tuple(stage.layers))
    model = adapters.Adapted(encoder, settings, len(stage.emotions), stage.seed)
    return PeftLearner(model, stage.training)


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
