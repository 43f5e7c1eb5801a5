"""Linear probes trained until they converge: multinomial logistic regression on standardised features.

The paper's probe (`probes.train`) takes features as they are, at a fixed learning rate, and is far from converged after
its 500 epochs. Its accuracy then depends on the scale of a layer as well as on what the layer holds. Here each channel
is standardised by its mean and standard deviation over the training part, and the loss is minimised until its gradient
vanishes, so the scale of a layer does not matter.

The loss is the mean cross-entropy over the training part plus penalty / 2 times the squared weights; the bias is free.
The penalty with the best accuracy on the validation part is chosen (of several equally good ones, the largest).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from speechsong import metrics
from speechsong.embeddings.features import Split
from speechsong.probes.train import Result, check_finite

# from constant answers to nearly separated training parts; the largest comes first
PENALTIES = tuple(10.0 ** (-k / 2) for k in range(-2, 9))
# of the gradient's largest entry, where a loss of log C has entries up to about 1
TOLERANCE = 1e-5
MOST_STEPS = 2000


def train(features: np.ndarray, labels: np.ndarray, classes: int, splits: list[Split]) -> list[Result]:
    """Train one probe per split.

    Parameters
    ----------
    features : ndarray (n, d), float32
        One row per clip.
    labels : ndarray (n,), int
        Classes from 0 to `classes` - 1.
    classes
        C.
    splits
        Splits of the n clips.

    Returns
    -------
    list of Result
        In the order of the splits.

    Raises
    ------
    UserError
        If a feature is not finite.
    """
    check_finite(features)
    exact = features.astype(np.float64)
    return [_train(exact, labels, classes, split) for split in splits]


def _train(features: np.ndarray, labels: np.ndarray, classes: int, split: Split) -> Result:
    mean, deviation = features[split.train].mean(axis=0), features[split.train].std(axis=0)
    # a channel that never changes says nothing, and stays at zero
    deviation[deviation == 0] = 1
    inputs = (features[split.train] - mean) / deviation
    targets = np.eye(classes)[labels[split.train]]
    chosen = features[split.validation]
    weights = np.zeros((features.shape[1] + 1, classes))
    best: Result | None = None
    for penalty in PENALTIES:
        # each solution is the start of the next, which is close
        weights = fit(inputs, targets, penalty, weights)
        slopes = weights[:-1] / deviation[:, None]
        plain = np.vstack([slopes, weights[-1] - mean @ slopes])
        found = Result(plain, validation=0.0, penalty=penalty)
        accuracy = metrics.accuracy(labels[split.validation], found.logits(chosen).argmax(axis=1))
        if best is None or accuracy > best.validation:
            best = Result(plain, validation=accuracy, penalty=penalty)
    assert best is not None
    return best


def fit(inputs: np.ndarray, targets: np.ndarray, penalty: float, start: np.ndarray) -> np.ndarray:
    """Minimise the loss by L-BFGS.

    Parameters
    ----------
    inputs : ndarray (n, d), float64
        Standardised features.
    targets : ndarray (n, C), float64
        One-hot labels.
    penalty
        On the squared weights.
    start : ndarray (d + 1, C), float64
        Where to begin; the last row is the bias.

    Returns
    -------
    ndarray (d + 1, C), float64
    """
    n, shape = len(inputs), start.shape

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        logits = inputs @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        probabilities = np.exp(logits)
        sums = probabilities.sum(axis=1, keepdims=True)
        value = np.log(sums).mean() - (logits * targets).sum() / n + penalty / 2 * (weights[:-1] ** 2).sum()
        at_logits = (probabilities / sums - targets) / n
        gradient = np.vstack([inputs.T @ at_logits + penalty * weights[:-1], at_logits.sum(axis=0)])
        return float(value), gradient.ravel()

    options = {"gtol": TOLERANCE, "ftol": 0.0, "maxiter": MOST_STEPS, "maxfun": 2 * MOST_STEPS}
    return minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)
