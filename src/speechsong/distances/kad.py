"""Kernel audio distance (KAD) between two sets of clips: a check on FAD that assumes no Gaussian and has no bias.

KAD is the unbiased squared maximum mean discrepancy (Gretton et al. 2012, "A kernel two-sample test", eq. 3) with the
kernel exp(-|x - y|^2 / (2 s^2)), which Chung et al. (2025, "KAD: no more FAD!", arXiv 2502.15602) propose for audio.
Here x and y are clips, each the mean over its frames. Pairs of clips of the same speaker are left out of all three
means, within A, within B and across: such clips are alike, so they would make a set look closer to itself than to a set
of other speakers. Without them KAD is unbiased if the speakers are independent, even if their clips are not. The
bandwidth s is the median distance between any two clips of both sets together, so neither set is the reference. Chung
et al. take the median within the reference set, and their toolkit multiplies KAD by 100.

The kernel matrix is needed only once, for the distances of single clips; everything else is computed from its sums over
pairs of groups. A group is the clips of one speaker in one domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from speechsong.distances.jackknife import jackknife
from speechsong.embeddings import features
from speechsong.embeddings.store import arrange, read_common_maker
from speechsong.errors import UserError
from speechsong.files import read_rows

EXCHANGES = 10_000
SEED = 0
# in both domains together: a kernel matrix of 200 MB. KAD has no bias, so leaving out clips costs little
MOST_CLIPS = 5_000
# held at once by a test of exchanges: 10,000 exchanges of 200 speakers in two domains
MOST_NUMBERS = 4_000_000
# probability beyond each end of a 95 % interval
TAIL = 0.025


@dataclass(frozen=True)
class Groups:
    """Sums of the kernel over pairs of clips, by group of clips.

    Attributes
    ----------
    in_a : ndarray (G,), bool
        Whether a group is of domain A; the others are of B.
    speaker : ndarray (G,), int
        The number of the speaker. The same number in both domains is the same speaker.
    count : ndarray (G,), int
        Clips of each group, at least one.
    kernel_sums : ndarray (G, G), float64
        Sums over all pairs with one clip from each group; 0 for two groups of the same speaker.
    """

    in_a: np.ndarray
    speaker: np.ndarray
    count: np.ndarray
    kernel_sums: np.ndarray

    def kad(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Compute KADs between sets of groups.

        Parameters
        ----------
        a, b : ndarray (..., G), bool
            Which groups are in the first set and which in the second; none is in both.

        Returns
        -------
        ndarray (...), float64
            NaN if a set has fewer than two speakers.
        """
        a, b = a.astype(float), b.astype(float)
        pairs = self._pairs()

        def mean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
            return ((one @ self.kernel_sums) * other).sum(axis=-1) / ((one @ pairs) * other).sum(axis=-1)

        with np.errstate(invalid="ignore"):
            return mean(a, a) + mean(b, b) - 2 * mean(a, b)

    def kad_from_rest(self, a: np.ndarray) -> np.ndarray:
        """Compute KADs as `kad(a, ~a)` does, with one product in place of six.

        Parameters
        ----------
        a : ndarray (m, G), bool
            Which groups are in the first set; all others are in the second.

        Returns
        -------
        ndarray (m,), float64
            NaN if a set has fewer than two speakers.
        """
        a = a.astype(float)
        matrices = np.stack([self.kernel_sums, self._pairs()])
        products = (a @ np.hstack(list(matrices))).reshape(len(a), 2, -1)
        # sums of the kernel, and numbers of pairs: within the first set, between the sets, within the second
        within = np.einsum("mkg,mg->km", products, a)
        across = products.sum(axis=2).T - within
        rest = matrices.sum(axis=(1, 2))[:, None] - within - 2 * across

        def mean(sums: np.ndarray) -> np.ndarray:
            return np.divide(sums[0], sums[1], out=np.full(len(a), np.nan), where=sums[1] > 0)

        return mean(within) + mean(rest) - 2 * mean(across)

    def _pairs(self) -> np.ndarray:
        """Numbers of pairs with one clip from each group (G, G); 0 for two groups of the same speaker."""
        return np.outer(self.count, self.count) * (self.speaker[:, None] != self.speaker)


def squared_distances(clips: np.ndarray) -> np.ndarray:
    """Compute the squared distances (n, n), float64, between clips (n, d); they are exactly 0 on the diagonal."""
    centred = clips.astype(np.float64)
    centred -= centred.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    distances = centred @ centred.T
    distances *= -2
    distances += squares[:, None]
    distances += squares
    np.maximum(distances, 0, out=distances)
    np.fill_diagonal(distances, 0)
    return distances


def gaussian(squared: np.ndarray) -> tuple[np.ndarray, float]:
    """Choose the bandwidth, and compute the kernel.

    Parameters
    ----------
    squared : ndarray (n, n), float64
        Squared distances between clips.

    Returns
    -------
    kernel : ndarray (n, n), float64
    bandwidth : float
        The median of the n (n - 1) / 2 distances.

    Raises
    ------
    UserError
        If the bandwidth is 0.
    """
    bandwidth = float(np.median(np.sqrt(squared[np.triu_indices(len(squared), 1)])))
    if bandwidth == 0:
        raise UserError("KAD: most clips have the same features; see `duplicate_of` in results/clips/ for copies")
    return np.exp(squared / (-2 * bandwidth**2)), bandwidth


def aggregate(kernel: np.ndarray, in_a: np.ndarray, speaker: np.ndarray) -> Groups:
    """Sum the kernel by speaker and domain.

    Parameters
    ----------
    kernel : ndarray (n, n), float64
        Between clips.
    in_a : ndarray (n,), bool
        Whether a clip is of domain A; the others are of B.
    speaker : ndarray (n,), int
        The number of the speaker. The same number in both domains is the same speaker.

    Returns
    -------
    Groups
        One for each speaker and domain that has clips.
    """
    keys, group = np.unique(np.stack([~in_a, speaker]), axis=1, return_inverse=True)
    members = (group.reshape(-1) == np.arange(keys.shape[1])[:, None]).astype(float)
    others = keys[1][:, None] != keys[1]
    return Groups(keys[0] == 0, keys[1], members.sum(axis=1).astype(int), members @ kernel @ members.T * others)


def of_clips(kernel: np.ndarray, in_a: np.ndarray, speaker: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute how far each clip is from the other domain, and from its own.

    The distance of a clip x from a set Y is the unbiased squared distance between the kernel's image of x and the mean
    of those of Y: k(x, x) - 2 mean k(x, y) + mean k(y, y'), without pairs of clips of the same speaker. Clips of the
    speaker of x are left out of Y.

    Parameters
    ----------
    kernel : ndarray (n, n), float64
        Between clips, with 1 on its diagonal.
    in_a : ndarray (n,), bool
        Whether a clip is of domain A; the others are of B.
    speaker : ndarray (n,), int
        The number of the speaker. The same number in both domains is the same speaker.

    Returns
    -------
    across, within : ndarray (n,), float64
        From the other domain, and from the clip's own. NaN if that domain has fewer than two other speakers.
    """
    people = np.arange(speaker.max() + 1)
    of_person = (speaker[:, None] == people).astype(float)
    found = []
    for side in (in_a, ~in_a):
        counts = side @ of_person
        sums = (kernel * side) @ of_person
        # per person, then between persons
        between = (of_person * side[:, None]).T @ sums
        pairs = np.outer(counts, counts)
        np.fill_diagonal(between, 0)
        np.fill_diagonal(pairs, 0)
        # what remains without one person's clips
        total = between.sum() - 2 * between.sum(axis=0)
        pairs_left = pairs.sum() - 2 * pairs.sum(axis=0)
        clips_left = counts.sum() - counts[speaker]
        own = sums[np.arange(len(speaker)), speaker]
        with np.errstate(invalid="ignore", divide="ignore"):
            to_set = (sums.sum(axis=1) - own) / clips_left
            inside = (total / np.where(pairs_left > 0, pairs_left, np.nan))[speaker]
        found.append(np.diag(kernel) - 2 * to_set + inside)
    return np.where(in_a, found[1], found[0]), np.where(in_a, found[0], found[1])


def _share_up_to(values: np.ndarray) -> np.ndarray:
    """Give for each value the share of all that are not greater; NaN stays."""
    ranks = np.searchsorted(np.sort(values), values, side="right")
    return np.where(np.isnan(values), np.nan, ranks) / len(values)


def _blocks(rows: int, width: int) -> list[int]:
    """Split rows of numbers into blocks of MOST_NUMBERS; return how many rows each has."""
    size = max(1, MOST_NUMBERS // width)
    return [min(size, rows - first) for first in range(0, rows, size)]


def permutation(groups: Groups, *, paired: bool, draws: int = EXCHANGES, seed: int = SEED) -> float:
    """Test whether the domains differ at all, by exchanging whole speakers between them.

    Parameters
    ----------
    groups
        What the KAD is computed from.
    paired
        Whether the same speakers are in both domains. If so, each speaker's clips in the two domains are swapped, or
        not, at random. Otherwise speakers are dealt to the domains anew, as many to each as before.
    draws, seed
        How many exchanges, and their seed.

    Returns
    -------
    float
        (1 + exchanges with a KAD at least as large) / (1 + draws) (Phipson and Smyth 2010); NaN if the KAD is NaN.
    """
    observed = float(groups.kad(groups.in_a, ~groups.in_a))
    if np.isnan(observed):
        return observed
    rng = np.random.default_rng(seed)
    less = 0
    for rows in _blocks(draws, len(groups.in_a)):
        if paired:
            swapped = rng.integers(2, size=(rows, groups.speaker.max() + 1)).astype(bool)
            exchanged = groups.in_a ^ swapped[:, groups.speaker]
        else:
            exchanged = rng.permuted(np.tile(groups.in_a, (rows, 1)), axis=1)
        # rounding must not make an exchange that keeps or swaps the two sets count as less
        less += int(np.sum(groups.kad_from_rest(exchanged) < observed - 1e-12))
    return float((1 + draws - less) / (1 + draws))


def standard_error(groups: Groups, *, paired: bool) -> float:
    """Compute the standard error of a KAD by the delete-m_j jackknife over speakers, with the bandwidth fixed.

    Parameters
    ----------
    groups
        What the KAD is computed from.
    paired
        Whether a speaker is left out of both domains at once. Otherwise each domain has a jackknife of its own, and
        the variances add up.

    Returns
    -------
    float
        NaN if a domain has fewer than three speakers: two must remain when one is left out.
    """
    value = float(groups.kad(groups.in_a, ~groups.in_a))
    variance = 0.0
    for side in [np.full(len(groups.in_a), True)] if paired else [groups.in_a, ~groups.in_a]:
        speakers = np.unique(groups.speaker[side])
        dropped = (groups.speaker == speakers[:, None]) & side
        left_out = groups.kad(groups.in_a & ~dropped, ~groups.in_a & ~dropped)
        variance += jackknife(value, left_out, dropped @ groups.count)[1]
    return float(np.sqrt(variance))


def leave_out(groups: Groups, block: np.ndarray, *, paired: bool) -> list[tuple[int | None, int, int, float]]:
    """Leave out blocks of speakers, as `fad.estimate` does, so that both distances can be resampled together.

    Parameters
    ----------
    groups
        What the KAD is computed from.
    block : ndarray (G,), int
        The block of each group.
    paired
        Whether a block is left out of both domains at once.

    Returns
    -------
    list of tuple
        One per block that has clips: side (0 for A, 1 for B, None for both), block, clips left out, and KAD without
        them, which is NaN if a domain has fewer than two speakers left.
    """
    found: list[tuple[int | None, int, int, float]] = []
    sides: list[int | None] = [None] if paired else [0, 1]
    for side in sides:
        here = np.full(len(block), True) if side is None else groups.in_a == (side == 0)
        for j in np.unique(block[here]):
            dropped = here & (block == j)
            value = float(groups.kad(groups.in_a & ~dropped, ~groups.in_a & ~dropped))
            found.append((side, int(j), int(groups.count[dropped].sum()), value))
    return found


def run(
    files: dict[str, list[str]],
    clips: dict[str, str],
    *,
    model: str,
    emotions: list[str],
    paired: bool,
    blocks: dict[str, dict[str, int]],
) -> tuple[list[dict], list[dict], list[dict]]:
    """Compute the KAD of every layer and emotion, and of all emotions together, for one model; and of every clip.

    Parameters
    ----------
    files
        The embedding files of the two domains A and B, by name: one for each layer and emotion.
    clips
        The clips CSV of each domain, which names the speakers.
    model, emotions
        What the embedding files hold.
    paired
        Whether the same speakers are in both domains.
    blocks
        The block of each speaker, by domain.

    Returns
    -------
    rows : list of dict
        One row per layer and emotion, with `all` as the last emotion: layer, emotion, kad, kad_low and kad_high (95 %
        by Student's t; the degrees of freedom are the speakers of the domain with fewer, minus one), std_error, p,
        bandwidth (in units of the hidden states), number of clips of each domain that were compared. If there are more
        than MOST_CLIPS, that many are drawn. KAD is NaN if a domain has fewer than two speakers.
    left_out : list of dict
        One row per layer, emotion and block: layer, emotion, side (the domain without the block, or `both`), block,
        clips, kad_left_out.
    single : list of dict
        One row per layer and clip: layer, emotion, domain, clip_id, speaker, across and within (`of_clips`, among the
        clips of its emotion), percentile (share, in percent, of the clips of its domain and emotion that are no
        farther across).

    Raises
    ------
    UserError
        If the files are not those of the model and emotions (`store.arrange`), the domains have different layers, a
        feature is not finite, or most clips have the same features.
    """
    domain_a, domain_b = files
    read_common_maker(files)
    arranged = {
        domain: arrange(paths, model=model, domain=domain, emotions=emotions) for domain, paths in files.items()
    }
    if arranged[domain_a].keys() != arranged[domain_b].keys():
        layers = [", ".join(map(str, arranged[domain])) for domain in files]
        raise UserError(
            f"embeddings of {model}: {domain_a} has layers {layers[0]}, {domain_b} has {layers[1]}; run again"
        )
    spoken = {domain: {row["clip_id"]: row["speaker"] for row in read_rows(clips[domain])} for domain in files}
    # independent speakers are different people, even if both domains have one with the same name
    people = sorted({(name, "" if paired else domain) for domain in files for name in spoken[domain].values()})
    number = {person: i for i, person in enumerate(people)}
    # names are the same in both domains if the speakers are
    block_of = np.empty(len(people), int)
    for domain, some in blocks.items():
        for name, block in some.items():
            if (name, "" if paired else domain) in number:
                block_of[number[name, "" if paired else domain]] = block
    rows, left_out, single = [], [], []
    for layer in arranged[domain_a]:
        a, b = (features.read(arranged[domain][layer]) for domain in files)
        means = np.concatenate([a.means, b.means])
        labels = np.concatenate([a.labels, b.labels])
        in_a = np.arange(len(means)) < len(a.means)
        names = np.array([*a.clips, *b.clips], dtype=object)
        speaker = np.array(
            [
                number[spoken[domain][c], "" if paired else domain]
                for domain, one in zip(files, (a, b), strict=True)
                for c in one.clips
            ]
        )
        for label, emotion in enumerate([*emotions, "all"]):
            # emotion by emotion, and A before B in each
            chosen = np.argsort(labels, kind="stable") if emotion == "all" else np.flatnonzero(labels == label)
            if len(chosen) > MOST_CLIPS:
                # drawn at random, because clips are ordered: every n-th might be of the same take
                drawn = np.random.default_rng(SEED).choice(len(chosen), MOST_CLIPS, replace=False)
                chosen = chosen[np.sort(drawn)]
            kernel, bandwidth = gaussian(squared_distances(means[chosen]))
            groups = aggregate(kernel, in_a[chosen], speaker[chosen])
            if emotion != "all":
                across, within = of_clips(kernel, in_a[chosen], speaker[chosen])
                for domain, side in ((domain_a, in_a[chosen]), (domain_b, ~in_a[chosen])):
                    shares = 100 * _share_up_to(across[side])
                    single += [
                        {"layer": layer, "emotion": emotion, "domain": domain}
                        | {"clip_id": name, "speaker": spoken[domain][name]}
                        | {"across": float(far), "within": float(near), "percentile": float(share)}
                        for name, far, near, share in zip(
                            names[chosen[side]], across[side], within[side], shares, strict=True
                        )
                    ]
            row = _measure(groups, paired) | {"bandwidth": bandwidth}
            left_out += [
                {"layer": layer, "emotion": emotion, "side": "both" if side is None else (domain_a, domain_b)[side]}
                | {"block": block, "clips": count, "kad_left_out": without}
                for side, block, count, without in leave_out(groups, block_of[groups.speaker], paired=paired)
            ]
            sizes = {
                f"clips_{domain_a}": int(in_a[chosen].sum()),
                f"clips_{domain_b}": int((~in_a[chosen]).sum()),
            }
            rows.append({"layer": layer, "emotion": emotion} | row | sizes)
    return rows, left_out, single


def _measure(groups: Groups, paired: bool) -> dict[str, float]:
    """Compute the KAD between two domains, with its interval and p."""
    value, error = float(groups.kad(groups.in_a, ~groups.in_a)), standard_error(groups, paired=paired)
    people = min(len(np.unique(groups.speaker[side])) for side in (groups.in_a, ~groups.in_a))
    margin = error * -stdtrit(max(people - 1, 1), TAIL)
    return {
        "kad": value,
        "kad_low": value - margin,
        "kad_high": value + margin,
        "std_error": error,
        "p": permutation(groups, paired=paired),
    }
