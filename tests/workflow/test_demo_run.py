"""The demo, from nothing to figures, through the same rules as the real thing."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from speechsong.distances import fad
from speechsong.embeddings.store import read_blocks
from speechsong.evaluation import predictions
from speechsong.evaluation.estimates import Number, difference, number, tally

ROOT = Path(__file__).parents[2]
MODELS = ("w2v2", "hubert", "mert")
ADAPTED = ("hubert", "mert")
LAYERS = range(9)
EMOTIONS = ("calm", "happy", "angry")
FIGURES = (
    *("probe_layers", "probe_emotions-random", "probe_emotions-speaker", "confusion-random", "confusion-speaker"),
    *("probe_emotions-converged-random", "probe_emotions-converged-speaker", "transfer", "fad_pairs"),
    *("similarity", "strata", "layer_weights", "clip_map"),
    *("confusion-converged-random", "confusion-converged-speaker", "paper_layers", "paper_emotions", "paper_fad"),
    *("fad", "adapt", "leakage"),
)
TABLES = (
    *("probe", "strata", "speakers", "transfer", "similarity", "adapt", "leakage", "comparisons"),
    *("fad", "fad_pairs", "kad", "paper", "claims", "recordings"),
)

pytestmark = pytest.mark.slow


def test_everything_is_there_with_the_columns_that_users_rely_on(demo):
    results = demo.folder / "results/demo"
    for model in MODELS:
        probes = pd.read_csv(results / f"probe/{model}.csv")
        assert list(probes.columns) == [
            *("model", "domain", "layer", "fit", "protocol", "seed", "test_domain", "accuracy", "uar", "best_epoch"),
            *("n_train", "n_validation", "n_test", *(f"recall_{e}" for e in EMOTIONS), "validation", "penalty"),
        ]
        assert len(probes) == 2 * len(LAYERS) * 2 * 5 * 2 * 2  # domains, layers, protocols, seeds, fits, tested domains
        assert probes["accuracy"].between(0, 1).all()
        distances = pd.read_csv(results / f"fad/{model}.csv")
        assert list(distances.columns) == [
            *("model", "layer", "emotion", "fad", "fad_corrected", "std_error", "mean_term", "covariance_term"),
            *("clips_speech", "clips_music", "frames_speech", "frames_music"),
            *("fad_matched", "fad_within_speech", "fad_within_music", "fad_across"),
        ]
        assert list(distances["emotion"]) == len(LAYERS) * [*EMOTIONS, "all"]
        assert (distances["fad"] > 0).all()
        assert (distances["std_error"] > 0).all()
        assert (distances["fad_across"] > distances[["fad_within_speech", "fad_within_music"]].max(axis=1)).all()
        left_out = pd.read_csv(results / f"fad/{model}/left_out.csv")
        assert list(left_out.columns) == ["model", "layer", "emotion", "side", "block", "frames", "fad_left_out"]
        assert len(left_out) == len(LAYERS) * 4 * 10
        kernel = pd.read_csv(results / f"kad/{model}.csv")
        assert list(kernel.columns) == [
            *("model", "layer", "emotion", "kad", "kad_low", "kad_high", "std_error", "p", "bandwidth"),
            *("clips_speech", "clips_music"),
        ]
        assert list(kernel["emotion"]) == list(distances["emotion"])
        assert (kernel["clips_speech"] == distances["clips_speech"]).all()
        assert kernel["p"].between(1 / 10_001, 1).all()
        single = pd.read_csv(results / f"kad/{model}/clips.csv", dtype={"speaker": str})
        assert len(single) == len(LAYERS) * 3 * 40 * 2
        assert single["percentile"].between(0, 100).all()
    clips = pd.read_csv(results / "clips/speech.csv", dtype=str)
    assert list(clips.columns) == [
        *("clip_id", "path", "domain", "emotion", "speaker", "gender", "statement", "take", "intensity"),
        *("seconds", "sample_rate", "channels", "heard", "bandwidth", "sha256", "duplicate_of"),
    ]
    assert sorted(clips["channels"].value_counts()) == [1, 119]
    for name in FIGURES:
        assert (results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "</svg>" in (results / f"figures/{name}.svg").read_text()
    for name in TABLES:
        assert len(pd.read_csv(results / f"tables/{name}.csv")) > 1
        assert demo.config["notice"] in (results / f"tables/{name}.md").read_text()
        assert "\\toprule" in (results / f"tables/{name}.tex").read_text()
    assert demo.config["notice"] in (results / "summary.html").read_text()
    ranks = pd.read_csv(results / "tables/fad.csv")
    assert list(ranks["model"].unique()) == [*MODELS, "hubert-random", "logmel"]
    ranks = ranks[ranks["model"].isin(MODELS)]
    assert list(ranks["over"]) == 3 * (4 * len(LAYERS) * ["layer"] + 4 * ["mean"])
    assert list(ranks["layer"].fillna(-1)) == 3 * [layer for layer in (*LAYERS, -1) for _ in range(4)]
    for _, some in ranks[ranks["emotion"] != "all"].groupby(["model", "layer"], dropna=False):
        assert sorted(some["rank"]) == [1, 2, 3]


def test_every_job_left_a_log_and_a_benchmark(demo):
    results = demo.folder / "results/demo"
    for model in MODELS:
        for kind, name in (("embeddings", "speech/calm"), ("probe", "music/layer02"), ("fad", "layer00")):
            assert (results / f"logs/{kind}/{model}/{name}.log").exists()
            assert (results / f"benchmarks/{kind}/{model}/{name}.tsv").read_text().startswith("s\t")
    assert "40/40 clips" in (results / "logs/embeddings/w2v2/speech/calm.log").read_text()


OF_MUSIC = {"fit": "converged", "source": "music", "test_domain": "speech"}
KEYS = ["fit", "test_domain", "protocol", "seed"]


def test_accuracy_is_what_the_predictions_say(demo):
    results = demo.folder / "results/demo"
    answers = pd.read_csv(results / "predictions/hubert/probe/music/layer01.csv")
    table = pd.read_csv(results / "probe/hubert/music/layer01.csv").set_index(KEYS)
    assert len(table) == 2 * 2 * 2 * 5  # fits, tested domains, protocols, seeds
    for key, some in answers.groupby(KEYS):
        right = some["true"] == some["predicted"]
        np.testing.assert_allclose(table.loc[key, "accuracy"], right.mean())
        np.testing.assert_allclose(table.loc[key, "uar"], right.groupby(some["true"]).mean().mean())


def test_no_metric_is_without_its_interval(demo):
    results = demo.folder / "results/demo"
    for model in MODELS:
        adapt = (("adapt", 3 * 12),) if model in ADAPTED else ()
        for task, count in (("probe", 2 * 2 * 2 * 2 * (len(LAYERS) + 2)), *adapt):
            metrics = pd.read_csv(results / f"metrics/{model}/{task}.csv")
            assert len(metrics) == count * (2 + len(EMOTIONS))
            assert not metrics[["value", "low", "high"]].isna().any(axis=None)
            assert (metrics["low"] <= metrics["value"]).all() and (metrics["value"] <= metrics["high"]).all()
        probes = pd.read_csv(results / f"probe/{model}.csv")
        by_speaker = metrics_of(results, model, protocol="speaker", over="layer", layer=2, **OF_MUSIC)
        some = probes[(probes["protocol"] == "speaker") & (probes["layer"] == 2) & (probes["domain"] == "music")]
        some = some[(some["fit"] == "converged") & (some["test_domain"] == "speech")]
        # everybody is tested once, so that pooling weighs folds by their size
        pooled = (some["accuracy"] * some["n_test"]).sum() / some["n_test"].sum()
        assert by_speaker.loc["accuracy", "value"] == pytest.approx(pooled)
        assert by_speaker.loc["accuracy", "clips"] == 120
        assert by_speaker.loc["accuracy", "speakers"] == 10


def metrics_of(results, model: str, **keys) -> pd.DataFrame:
    metrics = pd.read_csv(results / f"metrics/{model}/probe.csv", dtype={"layer": "Int64"})
    for key, value in keys.items():
        metrics = metrics[metrics[key] == value]
    return metrics.set_index("metric")


def test_fad_is_what_the_moments_say(demo):
    results = demo.folder / "results/demo"
    sides = [read_blocks(results / f"embeddings/mert/{d}/layer02/happy.h5")[0].merge() for d in ("speech", "music")]
    table = pd.read_csv(results / "fad/mert.csv").set_index(["layer", "emotion"])
    np.testing.assert_allclose(table.loc[(2, "happy"), "fad"], fad.frechet(*sides).fad, rtol=1e-12)


def test_embeddings_say_how_they_were_made(demo):
    with h5py.File(demo.folder / "results/demo/embeddings/mert/music/layer01/happy.h5") as file:
        assert file.attrs["sample_rate"] == 24000
        assert file.attrs["frame_rate"] == 75
        assert (file.attrs["layer"], file.attrs["emotion"]) == (1, "happy")
        assert file["pooled"].shape == (40, 64)
        assert file["blocks/scatter"].shape == (10, 64 * 65 // 2)


def test_the_docs_find_the_recordings_that_are_far(demo):
    text = (ROOT / "docs/distances.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    example = example.replace("results/kad", "results/demo/kad")
    done = subprocess.run([sys.executable, "-c", example], cwd=demo.folder, capture_output=True, text=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 12


def test_the_readme_shows_what_the_demo_draws(demo):
    shown, drawn = (
        plt.imread(path)
        for path in (ROOT / "docs/demo-layers.png", demo.folder / "results/demo/figures/paper_layers.png")
    )
    # another machine may round otherwise, and have another font
    assert np.abs(np.subtract(shown.shape, drawn.shape)).max() < 20
    height, width, _ = np.minimum(shown.shape, drawn.shape)
    assert np.abs(shown[:height, :width] - drawn[:height, :width]).mean() < 0.03


# --- what is true by construction comes out: see docs/demo.md


def of_converged_probes(results, model: str, domain: str) -> pd.Series:
    """The accuracy over the layers for new speakers, with its interval."""
    where = {"fit": "converged", "protocol": "speaker", "source": domain, "test_domain": domain, "over": "mean"}
    return metrics_of(results, model, **where).loc["accuracy", ["value", "low", "high"]]


def test_pre_trained_encoders_are_better_than_a_random_one(demo):
    for domain in ("speech", "music"):
        random = of_converged_probes(demo.folder / "results/demo", "hubert-random", domain)
        for model in MODELS:
            assert of_converged_probes(demo.folder / "results/demo", model, domain)["low"] > random["high"]


def test_each_specialist_is_better_in_its_own_domain(demo):
    """By the paper's probes, for new speakers, over all layers but the first: all four intervals are above zero."""
    answers = predictions.read([str(demo.folder / f"results/demo/predictions/{model}.csv") for model in MODELS])
    answers = predictions.own(answers[(answers["approach"] == "probe") & (answers["layer"] > 0)])
    answers = answers[(answers["fit"] == "paper") & (answers["protocol"] == "speaker")]
    counts = tally(answers, ["model", "test_domain"])

    def better(domain: str, one: str, other: str) -> Number:
        return number(difference(*(counts.accuracy([(model, domain)]) for model in (one, other))))

    for other in ("w2v2", "hubert"):
        assert better("speech", other, "mert").low > 0
        assert better("music", "mert", other).low > 0


def test_the_claims_know_the_specialists(demo):
    """By the random split, as in the paper."""
    claims = pd.read_csv(demo.folder / "results/demo/tables/claims.csv")
    claims = claims[claims["fit"] == "paper"].set_index(["claim", "encoder"])
    for other in ("w2v2", "hubert"):
        assert claims.loc[("better at speech than mert", other), "verdict"] == "holds"
        assert claims.loc[(f"better at music than {other}", "mert"), "number"] > 5
    assert claims.loc[("better at music than hubert", "mert"), "verdict"] == "holds"
    assert claims.loc[("better at music than at speech", "mert"), "verdict"] == "holds"


def test_a_specialist_grows_with_depth(demo):
    """In its first layer, the encoder that heard song is as good at speech as at song; in its last it is not."""
    where = {"fit": "paper", "protocol": "random", "over": "layer"}
    gaps = {}
    for layer in (LAYERS[0], LAYERS[-1]):
        speech, music = (
            metrics_of(demo.folder / "results/demo", "mert", layer=layer, source=d, test_domain=d, **where)
            for d in ("speech", "music")
        )
        gaps[layer] = music.loc["accuracy", "value"] - speech.loc["accuracy", "value"]
    assert abs(gaps[0]) < 0.1
    assert gaps[8] > 0.15


def test_only_claims_that_name_other_emotions_or_more_adaptation_lack_a_verdict(demo):
    claims = pd.read_csv(demo.folder / "results/demo/tables/claims.csv")
    lacks = claims["verdict"] == "not in this run"
    assert set(claims.loc[~lacks, "section"]) == set(claims["section"])
    lacking = claims[lacks]
    of_emotions = (lacking["claim"] + lacking["meaning"]).str.contains("neutral|sad|fearful")
    of_adaptation = (lacking["section"] == "V-B") & (lacking["encoder"] == "w2v2")
    assert (of_emotions | of_adaptation).all()


def test_the_docs_add_the_other_emotions(demo):
    """By the command that they give; as a plan, because it takes minutes. What is there stays."""
    (line,) = re.findall(r"^    snakemake --cores 2 (.*)$", (ROOT / "docs/demo.md").read_text(), re.M)
    options = shlex.split(line)
    options[options.index("--configfile") + 1] = str(ROOT / "demo.yaml")
    plan = demo.snakemake("-n", *options)
    text = plan.stdout + plan.stderr
    assert plan.returncode == 0, text
    extracted = set(re.findall(r"Extract \S+, \S+, (\w+): all layers", text))
    assert extracted == {"neutral", "sad", "fearful"}


def test_the_emotion_that_song_half_speaks_is_the_nearest(demo):
    """Anger has `spoken` above zero in its style, and no other emotion of the demo has."""
    fads = pd.read_csv(demo.folder / "results/demo/tables/fad.csv")
    fads = fads[(fads["over"] == "mean") & (fads["emotion"] != "all")].set_index(["model", "emotion"])
    for model in MODELS:
        others = fads.loc[model].drop("angry")
        assert fads.loc[(model, "angry"), "fad_corrected_high"] < others["fad_corrected_low"].min()
    claims = pd.read_csv(demo.folder / "results/demo/tables/claims.csv")
    closer = claims[(claims["claim"] == "angry is closer than calm") & claims["encoder"].isin(MODELS)]
    assert list(closer["verdict"]) == 2 * len(MODELS) * ["holds"]


def test_a_second_run_has_nothing_to_do(demo):
    again = demo.snakemake("all", config=demo.config)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_one_lost_file_is_made_again_byte_for_byte_and_nothing_else(demo):
    """And at its end the run says what its numbers mean, and where the figures are."""
    target = "results/demo/fad/hubert/layer01/angry.csv"
    path = demo.folder / target
    before = path.read_bytes()
    path.unlink()
    planned = demo.snakemake("-n", target, config=demo.config)
    stats = (planned.stdout + planned.stderr).rsplit("Job stats:", 1)[1].split("total")[0]
    assert {line.split()[0] for line in stats.splitlines()[3:] if line.strip()} == {"measure_fad"}
    done = demo.snakemake(target, config=demo.config)
    assert done.returncode == 0
    assert path.read_bytes() == before
    assert demo.config["notice"] in done.stdout + done.stderr
    assert "Figures: results/demo/figures" in done.stdout + done.stderr
    assert demo.snakemake("all", config=demo.config).returncode == 0


def test_the_same_recordings_give_the_same_bytes(demo):
    folder = demo.folder / "results/demo/embeddings/w2v2/speech"
    files = [folder / f"layer{layer:02d}/calm.h5" for layer in LAYERS]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    done = demo.snakemake(*(str(f.relative_to(demo.folder)) for f in files), config=demo.config)
    assert done.returncode == 0, done.stderr
    assert [file.read_bytes() for file in files] == before
