"""A small real run of the whole workflow; then what runs again after a change, by plans after edits that are undone."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

# what `all` is made of, by what it rests on
FAD = {"measure_fad": 12, "gather_fad": 2, "gather_left_out": 2}
PAIRS = {"measure_pairs": 12, "gather_pairs_left_out": 2, "correct_pairs": 2}
# what rests on distances and predictions
SIMILAR = {"correlate_transfer": 2, "tabulate_similarity": 1, "plot_similarity": 1}
PAIRS_SHOWN = {"count_nearest": 1, "plot_fad_pairs": 1}
FAD_SHOWN = SIMILAR | {"plot_fad": 1, "plot_paper_fad": 1, "rank_fad": 1, "check_claims": 1, "summarise": 1}
PREDICTED = {"gather_predictions": 2, "gather_tasks": 2, "evaluate": 2, "measure_transfer": 2}
TRANSFER_SHOWN = {"tabulate_transfer": 1, "plot_transfer": 1} | SIMILAR
# what rests on the choice of a layer, and on embeddings
MAPPED = {"map_clips": 2, "plot_clip_map": 1}
STRATA = {"measure_strata": 2, "tabulate_strata": 1, "tabulate_speakers": 1, "plot_strata": 1}
PROBES = {"probe": 24, "gather_probe": 2} | PREDICTED
PROBES_SHOWN = {
    **{"compare": 1, "check_claims": 1, "tabulate_probe": 1, "plot_probe_layers": 1, "plot_probe_emotions": 1},
    **TRANSFER_SHOWN,
    **STRATA,
    **MAPPED,
    **{"plot_confusion": 1, "plot_probe_emotions_converged": 1, "plot_confusion_converged": 1},
    **{"plot_paper_layers": 1, "plot_paper_emotions": 1},
    **{"tabulate_paper": 1, "summarise": 1},
}
ADAPTED = {"adapt_pooled": 2, "gather_adapt": 2} | PREDICTED
ADAPTED_SHOWN = TRANSFER_SHOWN | {"tabulate_adapt": 1, "plot_adapt": 1, "tabulate_paper": 1}
SHOWN = FAD_SHOWN | PAIRS_SHOWN | PROBES_SHOWN | ADAPTED_SHOWN
INDEXED = {"index_clips": 2, "split": 2, "describe_recordings": 1}
# what rests on every recording
ALL = (
    FAD
    | PAIRS
    | {"measure_kad": 2, "tabulate_kad": 1}
    | PROBES
    | ADAPTED
    | {"gather_predictions": 4, "evaluate": 4}
    | SHOWN
)
# all figures have one script
PLOTS = {
    f"plot_{name}": 1
    for name in (
        *("probe_layers", "probe_emotions", "probe_emotions_converged", "confusion", "confusion_converged"),
        *("transfer", "similarity", "strata", "clip_map", "fad", "fad_pairs", "adapt"),
        *("paper_layers", "paper_emotions", "paper_fad"),
    )
}


class Plan:
    """What a dry run would do.

    Attributes
    ----------
    jobs : dict
        How many jobs of each rule, targets by name left out.
    told : list of str
        The messages of the jobs that have one, sorted.
    """

    def __init__(self, text: str) -> None:
        table = text.split("Job stats:")[1].split("\n\n")[0] if "Job stats:" in text else ""
        self.jobs = {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M)}
        for name in ("total", "all", "tables"):
            self.jobs.pop(name, None)
        self.told = sorted(re.findall(r"^Job \d+: (.+)$", text, re.M))

    def of(self, kind: str) -> list[str]:
        """Return the messages that begin with a word, without it."""
        return [line.removeprefix(kind + " ") for line in self.told if line.startswith(kind + " ")]


def plan(run, *targets: str, **config) -> Plan:
    done = run.snakemake("-n", *(targets or ["all"]), config=run.config | config)
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    assert ("Nothing to be done" in text) != ("Job stats:" in text), text
    return Plan(text)


@contextmanager
def edited(path: Path, change=None) -> Iterator[None]:
    """Rewrite a file, or delete it where there is no change; all as before at the end."""
    before, times = path.read_bytes(), path.stat()
    if change is None:
        path.unlink()
    else:
        after = change(before)
        assert after != before
        path.write_bytes(after)
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextmanager
def added(path: Path, source: Path) -> Iterator[None]:
    shutil.copyfile(source, path)
    try:
        yield
    finally:
        path.unlink()


def voice(run, emotion: str = "02", take: str = "01") -> Path:
    name = f"Audio_Speech_Actors_01-24/Actor_01/03-01-{emotion}-01-01-{take}-01.wav"
    return run.folder / "data/demo/voices" / name


def louder(wav: bytes) -> bytes:
    # another sample at the end of a WAV whose header knows its old length: as long, and not the same
    return wav[:-2] + bytes([wav[-2] ^ 1, wav[-1]])


CODE = "\n\nANOTHER_FORMULA = 1\n"


def in_code(path: Path):
    return edited(path, lambda text: text + CODE.encode())


def test_everything_is_there(thin):
    results = thin.folder / "results/demo"
    for name in ("probe_layers", "probe_emotions-random", "confusion-random", "fad", "adapt"):
        assert (results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    for name in ("probe", "adapt", "comparisons", "fad", "kad", "paper", "claims"):
        assert len(pd.read_csv(results / f"tables/{name}.csv")) > 0
    assert "Figures: results/demo/figures" in thin.output
    assert thin.config["notice"] in (results / "summary.html").read_text()


def test_one_protocol_has_nothing_to_set_beside(thin):
    assert not (thin.folder / "results/demo/tables/leakage.csv").exists()
    assert not (thin.folder / "results/demo/figures/leakage.png").exists()


def test_nothing_changed(thin):
    assert plan(thin).jobs == {}


# ---- code ----


def test_comments_and_docstrings_in_every_module_and_rule(thin):
    house = thin.folder
    sources = [*house.glob("src/speechsong/**/*.py"), *house.glob("workflow/scripts/*.py")]
    kept = {path: (path.read_bytes(), path.stat()) for path in [*sources, *house.glob("rules/*.smk")]}
    try:
        for path in kept:
            text = path.read_text()
            if path.suffix == ".py":
                text = re.sub(r'"""(?=\w)', '"""In other words. ', text)
            path.write_text(text.rstrip("\n") + "\n\n# in other words\n")
        assert plan(thin).jobs == {}
    finally:
        for path, (text, times) in kept.items():
            path.write_bytes(text)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_formula_of_the_distance(thin):
    with in_code(thin.folder / "src/speechsong/distances/fad.py"):
        found = plan(thin)
    # pairs read their files as FAD does
    assert found.jobs == FAD | PAIRS | FAD_SHOWN | PAIRS_SHOWN
    assert found.of("FAD") == [
        f"{model}, layer {layer:02d}: all {what}"
        for model, layers in (("mert", 9), ("w2v2", 3))
        for layer in range(layers)
        for what in ("emotions", "pairs of emotions")
    ]


def test_a_formula_of_the_encoders(thin):
    with in_code(thin.folder / "src/speechsong/encoders/forward.py"):
        found = plan(thin)
    assert found.jobs == {"extract_w2v2": 4, "extract_mert": 4, "describe_encoder": 2} | ALL


@pytest.mark.parametrize(
    ("script", "jobs"),
    [
        ("measure_fad", FAD | FAD_SHOWN),
        ("measure_pairs", PAIRS | PAIRS_SHOWN | {"summarise": 1}),
        ("plot", PLOTS | {"summarise": 1}),
        ("summarise", {"summarise": 1}),
        ("measure_kad", SIMILAR | {"measure_kad": 2, "tabulate_kad": 1, "summarise": 1}),
        ("adapt_pooled", ADAPTED | ADAPTED_SHOWN | {"compare": 1, "check_claims": 1, "summarise": 1}),
        ("make_encoder", {"make_encoder": 1, "extract_mert": 4}),
    ],
)
def test_a_script(thin, script, jobs):
    with in_code(thin.folder / f"workflow/scripts/{script}.py"):
        found = plan(thin)
    if script == "make_encoder":
        assert {rule: found.jobs[rule] for rule in jobs} == jobs
        assert "extract_w2v2" not in found.jobs
    else:
        assert found.jobs == jobs


# ---- settings ----


def test_epochs_of_the_probes(thin):
    found = plan(thin, probe={"epochs": 90})
    assert found.jobs == PROBES | PROBES_SHOWN


def test_a_seed_more(thin):
    found = plan(thin, split={"protocols": ["random"], "seeds": [0, 1, 2]})
    # one job trains the probes of all seeds; adaptation has seeds of its own
    assert found.jobs == {"split": 1} | PROBES | PROBES_SHOWN


def test_a_seed_more_of_adaptation(thin):
    found = plan(thin, adapt=thin.config["adapt"] | {"seeds": [0, 1]})
    assert found.jobs == ADAPTED | ADAPTED_SHOWN | {"compare": 1, "check_claims": 1, "summarise": 1}
    assert all("random-1" in line for line in found.of("Adapt"))


def test_what_an_encoder_was_pretrained_on_matters_to_the_claims_alone(thin):
    other = {"w2v2": thin.config["encoders"]["w2v2"] | {"pretrained_on": "music"}}
    found = plan(thin, encoders=thin.config["encoders"] | other)
    assert found.jobs == {"check_claims": 1, "summarise": 1}


def test_an_emotion_more(thin):
    found = plan(thin, emotions=["calm", "happy", "angry"])
    assert found.jobs == {"extract_w2v2": 2, "extract_mert": 2} | INDEXED | ALL
    assert found.of("Extract") == [
        f"{model}, {domain}, angry: all layers" for model in ("mert", "w2v2") for domain in ("music", "speech")
    ]


def test_a_model_more(thin):
    found = plan(thin, models=["w2v2", "mert", "hubert"])
    own = {"measure_fad": 9, "gather_fad": 1, "gather_left_out": 1, "measure_kad": 1, "probe": 18, "gather_probe": 1}
    own |= {"measure_pairs": 9, "gather_pairs_left_out": 1, "correct_pairs": 1}
    own |= {"adapt_pooled": 1, "gather_adapt": 1, "gather_predictions": 2, "gather_tasks": 1, "evaluate": 2}
    own |= {"measure_transfer": 1, "correlate_transfer": 1, "measure_strata": 1, "map_clips": 1}
    own |= {"make_encoder": 1, "extract_hubert": 4, "describe_encoder": 1, "tabulate_kad": 1}
    assert found.jobs == SHOWN | own
    assert all(line.startswith("hubert") for kind in ("Extract", "Probe", "FAD", "KAD") for line in found.of(kind))


@pytest.mark.parametrize("there", [True, False])
def test_another_revision_of_an_encoder(thin, there):
    folder = thin.folder / "data/encoders/acme--voices"
    if there:
        shutil.copytree(folder / "one", folder / "two")
    other = {"w2v2": thin.config["encoders"]["w2v2"] | {"revision": "two"}}
    try:
        found = plan(thin, encoders=thin.config["encoders"] | other)
    finally:
        if there:
            shutil.rmtree(folder / "two")
    own = {"measure_fad": 3, "gather_fad": 1, "gather_left_out": 1, "measure_kad": 1, "probe": 6, "gather_probe": 1}
    own |= {"measure_pairs": 3, "gather_pairs_left_out": 1, "correct_pairs": 1}
    own |= {"adapt_pooled": 1, "gather_adapt": 1, "gather_predictions": 2, "gather_tasks": 1, "evaluate": 2}
    own |= {"measure_transfer": 1, "correlate_transfer": 1, "measure_strata": 1, "map_clips": 1}
    own |= {"extract_w2v2": 4, "describe_encoder": 1}
    assert found.jobs == SHOWN | own | {"tabulate_kad": 1} | ({} if there else {"fetch_encoder": 1})
    assert all(line.startswith("w2v2") for kind in ("Extract", "Probe", "FAD", "KAD") for line in found.of(kind))


# ---- recordings ----

OF_CALM_SPEECH = {"extract_w2v2": 1, "extract_mert": 1, "describe_encoder": 2, "index_clips": 1, "split": 2} | ALL
OF_CALM_SPEECH |= {"describe_recordings": 1}


def assert_calm_speech(found: Plan) -> None:
    assert found.jobs == OF_CALM_SPEECH
    assert found.of("Extract") == [f"{model}, speech, calm: all layers" for model in ("mert", "w2v2")]
    assert found.of("Index") == ["the clips of speech"]


def test_a_recording_replaced(thin):
    with edited(voice(thin), louder):
        assert_calm_speech(plan(thin))


def test_a_recording_replaced_by_an_older_one_of_another_length(thin):
    with edited(voice(thin), lambda wav: wav + bytes(2)):
        os.utime(voice(thin), (10**9, 10**9))
        assert_calm_speech(plan(thin))


def test_a_recording_that_was_only_touched(thin):
    """Counts as replaced: contents are not read when the workflow is, for a large corpus has too much of them."""
    times = voice(thin).stat()
    voice(thin).touch()
    try:
        assert_calm_speech(plan(thin))
    finally:
        os.utime(voice(thin), ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_recording_more(thin):
    with added(voice(thin, take="02"), voice(thin)):
        assert_calm_speech(plan(thin))


def test_a_recording_less(thin):
    with edited(voice(thin)):
        assert_calm_speech(plan(thin))


def test_a_recording_more_of_an_emotion_that_the_run_leaves_out(thin):
    with added(voice(thin, emotion="04", take="02"), voice(thin)):
        assert plan(thin).jobs == {}


# ---- results ----


@pytest.mark.parametrize(
    ("lost", "jobs"),
    [
        ("figures/fad.png", {"plot_fad": 1, "summarise": 1}),
        ("tables/fad.tex", {"rank_fad": 1, "plot_fad": 1, "plot_paper_fad": 1, "summarise": 1}),
        ("kad/mert.csv", SIMILAR | {"correlate_transfer": 1, "measure_kad": 1, "tabulate_kad": 1, "summarise": 1}),
        ("summary.html", {"summarise": 1}),
    ],
)
def test_a_result_deleted(thin, lost, jobs):
    with edited(thin.folder / "results/demo" / lost):
        assert plan(thin).jobs == jobs


def test_what_only_finished_results_rest_on_may_be_deleted(thin):
    """Embeddings are large: without them all stays as it is, and one that is asked for is made again."""
    lost = "results/demo/embeddings/mert/speech/layer01/calm.h5"
    with edited(thin.folder / lost):
        assert plan(thin).jobs == {}
        found = plan(thin, lost)
    assert found.jobs == {"extract_mert": 1}
    assert found.of("Extract") == ["mert, speech, calm: all layers"]


def test_a_copy_with_everything_elsewhere(thin, tmp_path):
    place = tmp_path / "another place"
    shutil.copytree(thin.folder, place)  # as cp -a: with times
    copy = replace(thin, folder=place, house=place)
    copy.config = thin.config
    assert plan(copy).jobs == {}
    assert plan(copy, probe={"epochs": 90}).jobs == PROBES | PROBES_SHOWN


def test_a_copy_without_what_snakemake_remembers(thin, tmp_path):
    """Then only times and names count: nothing runs, but a changed setting goes unnoticed (README)."""
    place = tmp_path / "copy"
    shutil.copytree(thin.folder, place, ignore=shutil.ignore_patterns(".snakemake"))
    copy = replace(thin, folder=place, house=place)
    copy.config = thin.config
    assert plan(copy).jobs == {}
    assert plan(copy, probe={"epochs": 90}).jobs == {}
    assert plan(copy, "all", "--forcerun", "probe", probe={"epochs": 90}).jobs == PROBES | PROBES_SHOWN
