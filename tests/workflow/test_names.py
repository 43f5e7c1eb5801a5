"""Names that a shell, a page or Snakemake could take for something else: they are names, and nothing else happens."""

from __future__ import annotations

import csv

import pandas as pd
import pytest

from speechsong.demo import voices
from speechsong.embeddings.store import read_pooled

NASTY = (
    "-rf",
    "two words",
    "quote\"s and 's",
    "$(touch ran)",
    "`touch ran`",
    "; touch ran;",
    "&>ran|",
    "*",
    "~",
    "%s\\n",
    "=1+1,2",
    "Jürgen лето 夏",
    "<img src=x onerror=alert(1)>",
)


@pytest.mark.slow
def test_files_and_people_of_any_name(run):
    """Two corpora by table, through the whole workflow."""
    config = {
        "domains": ["a", "b"],
        "speakers": "independent",
        "corpora": {},
        "emotions": ["calm", "happy"],
        "models": ["logmel"],
        "split": {"protocols": ["random"], "seeds": [1]},
        "probe": {"epochs": 3},
        "adapt": {"approaches": ["baseline"], "seeds": [1], "epochs": 2},
        "results": "results of 'mine'",
    }
    some = [n for n in voices.recordings("speech") if n.split("-")[-5] in ("02", "03") and "-01-01-0" in n]
    wanted = set()
    for domain in "ab":
        root = run.folder / f"-{domain} voices"
        rows = [["path", "emotion", "speaker"]]
        for i, name in enumerate(NASTY):
            source = some[i % len(some)]
            voices.write_voice(run.folder / "made", source)
            for code, emotion in (("02", "calm"), ("03", "happy")):
                path = root / emotion / f"{name}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                same = run.folder / "made" / source.replace("-02-", f"-{code}-").replace("-03-", f"-{code}-")
                # no two recordings have the same bytes
                more = bytes(2 * i) + (b"\1\0" if emotion == "happy" else b"")
                path.write_bytes((same if same.is_file() else run.folder / "made" / source).read_bytes() + more)
                rows.append([f"{emotion}/{name}.wav", emotion, f"{name}, {i % 5}"])
                wanted.add((domain, f"{emotion}/{name}", f"{name}, {i % 5}"))
        with (run.folder / f"table {domain}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(rows)
        config["corpora"][domain] = {"reader": "table", "table": f"table {domain}.csv", "root": str(root.name)}
    done = run.snakemake("all", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(run.folder.rglob("*ran")) == []
    assert sorted(p.name for p in run.folder.iterdir()) == sorted(
        [".snakemake", "-a voices", "-b voices", "made", "results of 'mine'", "table a.csv", "table b.csv", "test.yaml"]
    )
    results = run.folder / "results of 'mine'"
    tables = [pd.read_csv(results / f"clips/{domain}.csv", keep_default_na=False) for domain in "ab"]
    clips = pd.concat(tables)
    assert set(clips[["domain", "clip_id", "speaker"]].itertuples(index=False, name=None)) == wanted
    names, _ = read_pooled(results / "embeddings/logmel/b/layer00/calm.h5")
    assert sorted(names) == sorted(clip for domain, clip, _ in wanted if domain == "b" and clip.startswith("calm/"))
    said = pd.read_csv(results / "predictions/logmel/probe/a/layer00.csv", keep_default_na=False)
    assert set(said["clip_id"]) <= {clip for domain, clip, _ in wanted if domain == "a"}
    assert "<img src=x" not in (results / "summary.html").read_text()
    again = run.snakemake("all", config=config)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_braces_in_a_file_name_are_refused_in_one_line(run):
    (run.folder / "{emotion}").mkdir()
    (run.folder / "{emotion}/a.wav").touch()
    (run.folder / "own.csv").write_text("path,emotion,speaker\n{emotion}/a.wav,calm,x\n")
    config = {"domains": ["own", "music"], "corpora": {"own": {"reader": "table", "table": "own.csv"}}}
    refused = run.snakemake("-n", "all", config=config)
    text = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert any("corpus `own`" in line and "{emotion}/a.wav" in line for line in text.splitlines())
    assert "Traceback" not in text


def test_a_folder_of_results_that_snakemake_would_read_as_a_pattern(run):
    refused = run.snakemake("-n", "all", config={"results": "a{b"})
    text = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "Traceback" not in text
    assert any("config key `results`" in line for line in text.splitlines())


@pytest.mark.parametrize("place", ["../elsewhere", "my/-dash", "Jürgen $(touch ran)"])
def test_results_go_where_the_user_says_and_nowhere_else(run, place):
    config = {"results": place, "models": ["logmel"], "corpora": {}, "emotions": ["calm", "happy"]}
    run.folder = run.folder / "here"
    run.folder.mkdir()
    for channel in ("speech", "song"):
        for name in voices.recordings(channel):
            if name.split("-")[-5] in ("02", "03") and name.endswith("-01.wav"):
                voices.write_voice(run.folder / "voices", name)
    config["corpora"] = {"speech": {"root": "voices"}, "music": {"root": "voices"}}
    done = run.snakemake(f"{place}/clips/speech.csv", config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (run.folder / place / "clips/speech.csv").is_file()
    names = {p.name for p in [*run.folder.iterdir(), *run.folder.parent.iterdir()]}
    assert names - {place.removeprefix("../").split("/")[0]} == {".snakemake", "test.yaml", "voices", "here"}
