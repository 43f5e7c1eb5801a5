"""The plan: what a configuration asks for, as far as file names and tables tell. Snakemake needs it while parsing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from speechsong.corpora import recordings
from speechsong.corpora.readers import read_ravdess, scan
from speechsong.corpora.recordings import FETCHED, Recording, select, speaker_blocks
from speechsong.errors import UserError


@dataclass(frozen=True)
class Run:
    """What a run consists of, as far as file names and tables tell.

    Attributes
    ----------
    recordings : dict
        The recordings of each domain that the run uses.
    blocks : dict
        The block, from 0, of every speaker of each domain.
    unfetched : dict
        For each source ("zenodo", "demo"), the corpora, by domain, that must be fetched or made first.
    notes : list of str
        Lines for the user before the run starts.
    digests : dict
        Digests computed so far, by domain and emotion.
    """

    recordings: dict[str, list[Recording]]
    blocks: dict[str, dict[str, int]]
    unfetched: dict[str, dict[str, dict]]
    notes: list[str]
    digests: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def digest(self, domain: str, emotion: str | None = None) -> str:
        """Digest the recordings of a domain, or of one emotion in it.

        Rules have it as a param instead of having the recordings as inputs, which would cost Snakemake far more.
        """
        if (domain, emotion) not in self.digests:
            digest = recordings.digest([r for r in self.recordings[domain] if emotion in (None, r.emotion)])
            if any(domain in corpora for corpora in self.unfetched.values()):
                # recordings that arrive in the middle of this run change it
                return digest
            # kept, because every encoder needs it and a large corpus takes seconds
            self.digests[domain, emotion] = digest
        return self.digests[domain, emotion]

    @cached_property
    def _clip_counts(self) -> Counter[tuple[str, str]]:
        return Counter((domain, r.emotion) for domain, recordings in self.recordings.items() for r in recordings)

    def clips(self, domain: str, emotion: str) -> int:
        """Count the clips of an emotion in a domain."""
        return self._clip_counts[domain, emotion]

    def markers(self, source: str) -> list[str]:
        """Name the files that mark the corpora of a source as fetched."""
        return sorted({str(Path(c["root"]) / FETCHED) for c in self.unfetched[source].values()})


def plan(config: dict) -> Run:
    """List what a checked configuration asks for.

    Parameters
    ----------
    config
        After `planning.config.check`.

    Returns
    -------
    Run

    Raises
    ------
    UserError
        If recordings, emotions or common speakers are missing.
    """
    listed: dict[str, list[Recording]] = {}
    unfetched: dict[str, dict[str, dict]] = {}
    for domain in config["domains"]:
        corpus = config["corpora"][domain]
        listed[domain] = scan(domain, corpus)
        if not listed[domain]:
            listed[domain] = _to_fetch(domain, corpus)
            unfetched.setdefault(corpus["source"], {})[domain] = corpus
    paired = config["speakers"] == "paired"
    kept, dropped = select(listed, config["emotions"], paired)
    speakers = {d: {r.speaker for r in rs} for d, rs in kept.items()}
    blocks = {d: speaker_blocks(s, config["fad"]["blocks"]) for d, s in speakers.items()}
    notes = [f"Left out, because they are not in both domains: speaker {', '.join(dropped)}"] if dropped else []
    return Run(kept, blocks, unfetched, notes)


def _to_fetch(domain: str, corpus: dict) -> list[Recording]:
    if corpus["reader"] == "table":
        raise UserError(f"corpus `{domain}`: {corpus['table']} lists no recording; add one line per recording")
    where = corpus["root"]
    if not corpus.get("source"):
        raise UserError(
            f"corpus `{domain}`: {where} holds no {corpus['channel']} recording (.wav or .flac); put them "
            f"there or set `corpora.{domain}.root` to a folder that has them"
        )
    marker = Path(corpus["root"]) / FETCHED
    if marker.exists():
        raise UserError(f"{marker} says that recordings were fetched, but there are none; delete {corpus['root']}")
    return expected(corpus)


def expected(corpus: dict) -> list[Recording]:
    """List the recordings that a corpus will have once it is fetched (`source: zenodo`) or made (`source: demo`)."""
    if corpus["source"] == "demo":
        from speechsong.demo.voices import recordings as listed
    else:
        from speechsong.corpora.zenodo import ravdess_recordings as listed
    paths = [str(Path(corpus["root"]) / name) for name in listed(corpus["channel"])]
    return sorted(read_ravdess(paths, corpus["channel"]))
