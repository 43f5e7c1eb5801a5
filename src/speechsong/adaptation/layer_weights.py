"""The learnt weights of the layers, from the checkpoints of ws and peft."""

from __future__ import annotations

from scipy.special import softmax

from speechsong.adaptation import checkpoints
from speechsong.errors import UserError

_LABELS = ("model", "approach", "protocol", "seed", "source", "target", "stage")


def layer_weights(paths: list[str]) -> list[dict]:
    """Read how much each layer counts after each stage.

    Parameters
    ----------
    paths
        Checkpoints of ws and peft.

    Returns
    -------
    list of dict
        One row per checkpoint and layer: model, approach, protocol, seed, source, target, stage, layer, weight. The
        weights of a checkpoint add up to 1.

    Raises
    ------
    UserError
        As `checkpoints.read`, or if a description does not say what the checkpoint is of.
    """
    rows = []
    for path in paths:
        parameters, description = checkpoints.read(path)
        missing = [key for key in _LABELS if key not in description]
        if missing:
            raise UserError(
                f"{checkpoints.description_of(path)}: lacks {', '.join(missing)}; train the checkpoint again"
            )
        labels = {key: description[key] for key in _LABELS}
        shares = softmax(parameters["layer_weights"].astype(float))
        for layer, share in zip(description["layers"], shares, strict=True):
            rows.append(labels | {"layer": layer, "weight": float(share)})
    return rows
