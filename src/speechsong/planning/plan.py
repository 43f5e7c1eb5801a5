"""Planning: what a configuration asks for, as far as names and tables tell. The workflow calls this when it is read.

Apart from `corpora`, so that code which fetches or makes recordings is no part of what embeddings depend on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechsong.corpora.readers import read_ravdess, scan
from speechsong.corpora.recordings import FETCHED, Recording, select, speaker_blocks
from speechsong.errors import UserError


@dataclass(frozen=True)
class Run:
    """What a run is made of, as far as names and tables tell.

    Attributes
    ----------
    recordings : dict
        The recordings of each domain that the run uses.
    blocks : dict
        For each domain the speaker block, from 0, of every speaker.
    unfetched : dict
        For each source ("zenodo", "demo") the corpora by domain that are to be fetched or made first.
    notes : list of str
        What the user should know before the run starts.
    """

    recordings: dict[str, list[Recording]]
    blocks: dict[str, dict[str, int]]
    unfetched: dict[str, dict[str, dict]]
    notes: list[str]

    def markers(self, source: str) -> list[str]:
        """Name the files that say that the corpora of a source were fetched."""
        return sorted({str(Path(c["root"]) / FETCHED) for c in self.unfetched[source].values()})


def plan(config: dict) -> Run:
    """List what a checked configuration asks for.

    Parameters
    ----------
    config
        After `speechsong.config.check`.

    Returns
    -------
    Run

    Raises
    ------
    UserError
        Where recordings, emotions or common speakers are missing.
    """
    found: dict[str, list[Recording]] = {}
    unfetched: dict[str, dict[str, dict]] = {}
    for domain in config["domains"]:
        corpus = config["corpora"][domain]
        found[domain] = scan(domain, corpus)
        if not found[domain]:
            found[domain] = _to_fetch(domain, corpus)
            unfetched.setdefault(corpus["source"], {})[domain] = corpus
    paired = config["speakers"] == "paired"
    recordings, dropped = select(found, config["emotions"], paired)
    speakers = {d: {r.speaker for r in rs} for d, rs in recordings.items()}
    blocks = {d: speaker_blocks(s, config["fad"]["blocks"]) for d, s in speakers.items()}
    notes = [f"Left out, for they are not in both domains: speaker {', '.join(dropped)}"] if dropped else []
    return Run(recordings, blocks, unfetched, notes)


def _to_fetch(domain: str, corpus: dict) -> list[Recording]:
    if corpus["reader"] == "table":
        raise UserError(f"corpus `{domain}`: {corpus['table']} lists no recording; add a line for each")
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
    """List the recordings that fetching (`source: zenodo`) or making (`source: demo`) a corpus will give."""
    if corpus["source"] == "demo":
        from speechsong.demo.voices import recordings
    else:
        from speechsong.corpora.zenodo import ravdess_recordings as recordings
    paths = [str(Path(corpus["root"]) / name) for name in recordings(corpus["channel"])]
    return sorted(read_ravdess(paths, corpus["channel"]))
