"""How alike are emotional speech and emotional song to a self-supervised audio encoder?"""

from os import PathLike

__version__ = "0.1.0"


def load(results: str | PathLike[str], *, model: str, layer: int, domain: str | None = None):
    """Load the clip means of one layer, and the labels of the clips.

    Parameters
    ----------
    results
        The folder of a run: what its config calls `results`.
    model
        An encoder of the run.
    layer
        0 for the input of the first block, n for the output of block n.
    domain
        One of the two domains; None for both.

    Returns
    -------
    DataFrame
        One row per clip and one column per feature: float32, in the units of the hidden states. The levels of the index
        are clip_id, domain, emotion, speaker, gender, statement, take and intensity; all are text, empty if unknown.

    Raises
    ------
    UserError
        If the folder has no such model, layer or domain. The message names those that it has.
    """
    # pandas and HDF5 take a while
    from speechsong.embeddings import table

    return table.load(results, model=model, layer=layer, domain=domain)
