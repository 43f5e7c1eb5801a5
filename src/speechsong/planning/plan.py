"""The plan: what a configuration asks for, as far as file names and tables tell. Snakemake needs it while parsing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from speechsong.corpora import recordings, splits
from speechsong.corpora.confounding import confounded
from speechsong.corpora.readers import as_in_run, read_ravdess, survey
from speechsong.corpora.recordings import FETCHED, Recording, excluded, select, speaker_blocks
from speechsong.errors import UserError, closest
from speechsong.planning.config import pretrained
from speechsong.planning.targets import seeds_by_approach
from speechsong.pretraining.settings import Settings


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
    pretraining : dict
        The recordings that each encoder is pre-trained on, by its name in the catalogue.
    digests : dict
        Digests computed so far, by domain and emotion.
    """

    recordings: dict[str, list[Recording]]
    blocks: dict[str, dict[str, int]]
    unfetched: dict[str, dict[str, dict]]
    notes: list[str]
    pretraining: dict[str, list[Recording]] = field(default_factory=dict)
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

    def given(self, domain: str) -> str:
        """Digest the splits and sessions that the table of a domain gives, which the index of its clips copies."""
        given = [(r.clip_id, r.split, r.session) for r in self.recordings[domain] if r.split or r.session]
        return sha256(repr(given).encode()).hexdigest()[:16] if given else ""

    def pretraining_digest(self, model: str) -> str:
        """Digest the recordings that an encoder is pre-trained on, without the labels that it does not learn."""
        heard = [Recording(r.clip_id, r.path, "", r.speaker, edits=r.edits) for r in self.pretraining[model]]
        return recordings.digest(heard)

    @cached_property
    def _clip_counts(self) -> Counter[tuple[str, str]]:
        return Counter((domain, r.emotion) for domain, recordings in self.recordings.items() for r in recordings)

    def clips(self, domain: str, emotion: str) -> int:
        """Count the clips of an emotion in a domain."""
        return self._clip_counts[domain, emotion]

    @cached_property
    def strata(self) -> list[str]:
        """Name what is known of the clips besides emotion and speaker, where it has two levels or more in a domain."""
        return [
            name
            for name in recordings.STRATA
            if any(len({getattr(r, name) for r in listed} - {""}) > 1 for listed in self.recordings.values())
        ]

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
    notes: list[str] = []
    pretrain = {model: Settings(**entry) for model, entry in pretrained(config).items()}
    for domain in dict.fromkeys([*config["domains"], *(d for settings in pretrain.values() for d in settings.domains)]):
        corpus = config["corpora"][domain]
        listed[domain], found = survey(domain, corpus)
        notes += found
        if not listed[domain]:
            listed[domain] = _to_fetch(domain, corpus)
            # in one order: Snakemake compares its text
            unfetched.setdefault(corpus["source"], {})[domain] = dict(sorted(corpus.items()))
    paired = config["speakers"] == "paired"
    kept, dropped = select({d: listed[d] for d in config["domains"]}, config["emotions"], paired)
    speakers = {d: {r.speaker for r in rs} for d, rs in kept.items()}
    blocks = {d: speaker_blocks(s, config["fad"]["blocks"]) for d, s in speakers.items()}
    if dropped:
        notes.append(f"Left out, because they are not in both domains: speaker {', '.join(dropped)}")
    if any("given" in config.get(part, {}).get("protocols", ()) for part in ("split", "adapt")):
        _check_given(kept)
    notes += [f"Domain `{d}`: {line}" for d, some in kept.items() for line in confounded([vars(r) for r in some])]
    pretraining = {model: _pretrained_on(model, settings, listed) for model, settings in pretrain.items()}
    if pretraining:
        tested = _tested(config, kept)
        notes += [note for model, heard in pretraining.items() for note in _leaks(model, heard, tested)]
    return Run(kept, blocks, unfetched, notes, pretraining)


def _pretrained_on(model: str, settings: Settings, listed: dict[str, list[Recording]]) -> list[Recording]:
    everyone = [r for domain in settings.domains for r in listed[domain]]
    speakers = {r.speaker for r in everyone}
    key = f"encoders.{model}.pretrain"
    for speaker in settings.exclude_speakers:
        if speaker not in speakers:
            raise UserError(
                f"config key `{key}.exclude_speakers`: there is no speaker `{speaker}` in "
                f"{' and '.join(settings.domains)}{closest(speaker, speakers)} (there are: "
                f"{', '.join(sorted(speakers))})"
            )
    kept = settings.keep(everyone)
    left = {r.speaker for r in kept}
    if len(left) < 2:
        raise UserError(
            f"config key `{key}`: it needs two speakers or more, one of whom is held out, and {len(left)} of "
            f"{' and '.join(settings.domains)} is left; name more `domains` or exclude fewer speakers"
        )
    return kept


def _tested(config: dict, kept: dict[str, list[Recording]]) -> list[Recording]:
    """List the recordings that may be tested: of the speaker split alone, those of the test folds of its seeds."""
    parts = [part for part in ("split", "adapt") if part in config]
    if any(protocol != "speaker" for part in parts for protocol in config[part]["protocols"]):
        return [r for some in kept.values() for r in some]
    seeds = {seed for part in parts for some in seeds_by_approach(config, part).values() for seed in some}
    genders = {domain: {r.speaker: r.gender for r in some} for domain, some in kept.items()}
    tested = {
        (domain, speaker)
        for seed in seeds
        for domain, folds in splits.folds_of_domains(genders, seed, paired=config["speakers"] == "paired").items()
        for speaker, fold in folds.items()
        if fold == seed % splits.FOLDS
    }
    return [r for domain, some in kept.items() for r in some if (domain, r.speaker) in tested]


def _leaks(model: str, heard: list[Recording], tested: list[Recording]) -> list[str]:
    """Say that an encoder is pre-trained on recordings that are tested, because its results are then too good."""
    paths = {r.path for r in heard}
    speakers = {r.speaker for r in tested if r.path in paths}
    if not speakers:
        return []
    return [
        f"Encoder `{model}` is pre-trained on recordings of {len(speakers)} of the speakers whom the run tests; "
        f"`encoders.{model}.pretrain.exclude_speakers` leaves out those of a test fold"
    ]


def _check_given(kept: dict[str, list[Recording]]) -> None:
    without = next((r for some in kept.values() for r in some if not r.split), None)
    if without is not None:
        raise UserError(
            f"config key `protocols`: `given`, but clip {without.clip_id} ({without.path}) has no split; fill in the "
            "column `split` or `fold` of the corpus's table, or use other protocols"
        )


def _to_fetch(domain: str, corpus: dict) -> list[Recording]:
    if corpus["reader"] == "table":
        raise UserError(f"corpus `{domain}`: {corpus['table']} lists no recording; add one row per recording")
    where = corpus["root"]
    if not corpus.get("source"):
        raise UserError(
            f"corpus `{domain}`: {Path(where).absolute()} holds no {corpus['channel']} recording "
            f"({', '.join(recordings.SUFFIXES)}); put them there, or set `corpora.{domain}.root` to a folder with some"
        )
    marker = Path(corpus["root"]) / FETCHED
    if marker.exists():
        raise UserError(f"{marker} says that recordings were fetched, but there are none; delete {corpus['root']}")
    return expected(corpus)


def expected(corpus: dict) -> list[Recording]:
    """List the recordings that a corpus will have once it is fetched (`source: zenodo`) or made (`source: demo`)."""
    if corpus["source"] == "demo":
        from speechsong.demo import voices

        names = voices.recordings(corpus["channel"])
    else:
        from speechsong.corpora.zenodo import ravdess_recordings

        names = ravdess_recordings(corpus["channel"])
    paths = [str(Path(corpus["root"]) / name) for name in names]
    left_out = excluded(corpus.get("exclude"))
    kept = [r for r in read_ravdess(paths, corpus["channel"]) if r.clip_id not in left_out]
    return sorted(as_in_run(kept, corpus))
