"""Kernel audio distance (KAD) between two sets of clips: a check on FAD that supposes no Gaussian and has no bias.

KAD is the unbiased squared maximum mean discrepancy (Gretton et al. 2012, "A kernel two-sample test", eq. 3) with the
kernel exp(-|x - y|^2 / (2 s^2)), as Chung et al. (2025, "KAD: no more FAD!", arXiv 2502.15602) propose for audio.
Here x and y are clips, means over their frames. The bandwidth s is the median distance between any two clips of both
sets together, so that neither is the reference; Chung et al. take the median within the reference set, and their
toolkit multiplies by 100.

Everything after the kernel matrix needs only its sums over pairs of groups, a group being the clips of one speaker in
one domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from speechsong import files
from speechsong.distances.jackknife import jackknife
from speechsong.embeddings.store import read_pooled
from speechsong.errors import UserError

DRAWS = 10_000
SEED = 0
# clips of both domains that are compared at once: a matrix of 200 MB. KAD has no bias, so fewer clips cost little
MOST = 5_000


@dataclass(frozen=True)
class Groups:
    """Sums of the kernel over pairs of clips, by group of clips.

    Attributes
    ----------
    in_a : ndarray (G,), bool
        Whether a group is of domain A, else of B.
    speaker : ndarray (G,), int
        Who speaks; the same number in both domains is the same person, if speakers are paired.
    count : ndarray (G,), int
        Clips of each group, at least one.
    kernel : ndarray (G, G), float64
        Sums over all pairs with one clip from each group, without those of a clip with itself.
    """

    in_a: np.ndarray
    speaker: np.ndarray
    count: np.ndarray
    kernel: np.ndarray

    def kad(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Compute KADs between sets of groups.

        Parameters
        ----------
        a, b : ndarray (..., G), bool
            The groups that are in either set; none is in both.

        Returns
        -------
        ndarray (...), float64
            NaN where a set has fewer than two clips.
        """
        a, b = a.astype(float), b.astype(float)
        n, m = a @ self.count, b @ self.count
        by_a, by_b = a @ self.kernel, b @ self.kernel
        with np.errstate(divide="ignore", invalid="ignore"):
            within_a = (by_a * a).sum(axis=-1) / (n * (n - 1))
            within_b = (by_b * b).sum(axis=-1) / (m * (m - 1))
            across = (by_a * b).sum(axis=-1) / (n * m)
        return np.where((n > 1) & (m > 1), within_a + within_b - 2 * across, np.nan)


def squared_distances(clips: np.ndarray) -> np.ndarray:
    """Compute squared distances between all rows of (n, d); (n, n), float64, exactly 0 on the diagonal."""
    centred = clips.astype(np.float64)
    centred -= centred.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    found = centred @ centred.T
    found *= -2
    found += squares[:, None]
    found += squares
    np.maximum(found, 0, out=found)
    np.fill_diagonal(found, 0)
    return found


def aggregate(squared: np.ndarray, in_a: np.ndarray, speaker: np.ndarray) -> tuple[Groups, float]:
    """Choose the bandwidth, and sum the kernel by speaker and domain.

    Parameters
    ----------
    squared : ndarray (n, n), float64
        Squared distances between clips.
    in_a : ndarray (n,), bool
        Whether a clip is of domain A, else of B.
    speaker : ndarray (n,), int
        Who speaks.

    Returns
    -------
    groups : Groups
    bandwidth : float
        The median of the n (n - 1) / 2 distances.

    Raises
    ------
    UserError
        Where that is 0.
    """
    bandwidth = float(np.median(np.sqrt(squared[np.triu_indices(len(squared), 1)])))
    if bandwidth == 0:
        raise UserError("KAD: most clips have the same features; `duplicate_of` in results/clips/ may say why")
    kernel = np.exp(squared / (-2 * bandwidth**2))
    keys, group = np.unique(np.stack([~in_a, speaker]), axis=1, return_inverse=True)
    members = (group.reshape(-1) == np.arange(keys.shape[1])[:, None]).astype(float)
    count = members.sum(axis=1)
    # a clip's kernel with itself is 1
    return Groups(keys[0] == 0, keys[1], count.astype(int), members @ kernel @ members.T - np.diag(count)), bandwidth


def permutation(groups: Groups, *, paired: bool, draws: int = DRAWS, seed: int = SEED) -> float:
    """Test whether the domains differ at all, by exchanging whole speakers between them.

    Parameters
    ----------
    groups
        What the KAD is computed from.
    paired
        Whether the same people are in both domains: a speaker's clips then swap domains, or not, at random.
        Otherwise speakers are dealt to the domains anew, as many to each as there are.
    draws, seed
        Of the exchanges.

    Returns
    -------
    float
        (1 + exchanges with a KAD at least as large) / (1 + draws) (Phipson and Smyth 2010); NaN where there is no KAD.
    """
    observed = float(groups.kad(groups.in_a, ~groups.in_a))
    if np.isnan(observed):
        return observed
    rng = np.random.default_rng(seed)
    if paired:
        swapped = rng.integers(2, size=(draws, groups.speaker.max() + 1)).astype(bool)
        exchanged = groups.in_a ^ swapped[:, groups.speaker]
    else:
        exchanged = rng.permuted(np.tile(groups.in_a, (draws, 1)), axis=1)
    # an exchange that leaves the sets as they are, or swaps them, must not seem less by rounding
    less = groups.kad(exchanged, ~exchanged) < observed - 1e-12
    return float((1 + np.sum(~less)) / (1 + draws))


def standard_error(groups: Groups, *, paired: bool) -> float:
    """Compute the standard error of a KAD by the delete-m_j jackknife over speakers, the bandwidth fixed.

    Parameters
    ----------
    groups
        What the KAD is computed from.
    paired
        Whether a speaker is dropped from both domains at once; otherwise each domain has a jackknife of its own, and
        variances add.

    Returns
    -------
    float
        NaN where a domain has one speaker, or one clip without some speaker.
    """
    value = float(groups.kad(groups.in_a, ~groups.in_a))
    variance = 0.0
    for side in [np.full(len(groups.in_a), True)] if paired else [groups.in_a, ~groups.in_a]:
        speakers = np.unique(groups.speaker[side])
        dropped = (groups.speaker == speakers[:, None]) & side
        left_out = groups.kad(groups.in_a & ~dropped, ~groups.in_a & ~dropped)
        variance += jackknife(value, left_out, dropped @ groups.count)[1]
    return float(np.sqrt(variance))


def run(
    domains: list[str],
    layers: dict[str, dict[str, tuple[str, str]]],
    clips: tuple[str, str],
    *,
    paired: bool,
) -> list[dict]:
    """Compute the KAD of every layer and emotion, and of all emotions together, for one model.

    Parameters
    ----------
    domains
        The names A and B of the two domains.
    layers
        For each layer and emotion the embedding files of A and B.
    clips
        The index of each domain's clips, which says who speaks.
    paired
        Whether the same people are in both.

    Returns
    -------
    list of dict
        A row a layer and emotion, `all` last: layer, emotion, kad, kad_low and kad_high (95 % by Student's t, a degree
        of freedom less than the speakers of the domain that has fewer), std_error, p, bandwidth (in units of the hidden
        states), clips of each domain that were compared: of more than MOST, so many by chance. KAD is NaN where
        a domain has fewer than two clips.

    Raises
    ------
    UserError
        Where features are not finite, or most clips have the same.
    """
    speakers = [{row["clip_id"]: row["speaker"] for row in files.read_rows(path)} for path in clips]
    number = {name: i for i, name in enumerate(sorted({name for index in speakers for name in index.values()}))}
    rows = []
    for layer, emotions in layers.items():
        parts = {emotion: [] for emotion in emotions}
        for emotion, pair in emotions.items():
            for path, index, in_a in zip(pair, speakers, (True, False), strict=True):
                ids, pooled = read_pooled(path)
                if not np.isfinite(pooled).all():
                    raise UserError(f"{path}: holds features that are not finite; delete the file and run again")
                parts[emotion].append((pooled, np.full(len(ids), in_a), np.array([number[index[c]] for c in ids])))
        for emotion, some in [*parts.items(), ("all", [part for one in parts.values() for part in one])]:
            pooled, in_a, speaker = (np.concatenate(column) for column in zip(*some, strict=True))
            if len(in_a) > MOST:
                # clips come in an order, so that every n-th might all be of one take
                kept = np.sort(np.random.default_rng(0).choice(len(in_a), MOST, replace=False))
                pooled, in_a, speaker = pooled[kept], in_a[kept], speaker[kept]
            groups, bandwidth = aggregate(squared_distances(pooled), in_a, speaker)
            value, error = float(groups.kad(groups.in_a, ~groups.in_a)), standard_error(groups, paired=paired)
            people = min(len(np.unique(groups.speaker[side])) for side in (groups.in_a, ~groups.in_a))
            margin = error * -stdtrit(max(people - 1, 1), 0.025)
            rows.append(
                {
                    "layer": layer,
                    "emotion": emotion,
                    "kad": value,
                    "kad_low": value - margin,
                    "kad_high": value + margin,
                    "std_error": error,
                    "p": permutation(groups, paired=paired),
                    "bandwidth": bandwidth,
                    f"clips_{domains[0]}": int(in_a.sum()),
                    f"clips_{domains[1]}": int((~in_a).sum()),
                }
            )
    return rows
