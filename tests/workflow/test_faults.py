"""Jobs that are killed, a cut of the power, two runs at once, a disk that takes nothing, a clock that was moved back.

Whatever happened, one more `snakemake` ends with the bytes of a run that nothing happened to.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from speechsong.corpora import zenodo
from speechsong.embeddings.store import read_pooled
from tiny_encoders import write_encoder

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

# loaded by the jobs of a copy of the repository: holds a job that is about to put an output into its place, the second
# one where there are several, once a rule
HOLD = """
import os, sys, time

plain, replaced = os.replace, []


def replace(source, target, **rest):
    job, folder = getattr(sys.modules["__main__"], "snakemake", None), os.environ.get("HOLD")
    if job is not None and folder and "/state/" not in str(target):
        replaced.append(target)
        mark = os.path.join(folder, job.rule)
        if len(replaced) >= min(2, len(job.output)) and job.rule in os.environ["RULES"].split(","):
            if not os.path.exists(mark):
                with open(mark + ".new", "w") as stream:
                    stream.write(f"{os.getpid()}\\n{os.path.abspath(source)}\\n{os.path.abspath(target)}")
                plain(mark + ".new", mark)
                while not os.path.exists(mark + ".go"):
                    time.sleep(0.05)
    plain(source, target, **rest)


os.replace = replace
"""


class Held:
    """A run in the background, with jobs that stop in the middle.

    Parameters
    ----------
    run : conftest.Run
        In a copy of the repository.
    marks
        A folder: each rule that was held once has a file there.
    rules
        Those that are to be held.
    """

    def __init__(self, run, marks: Path, rules: set[str], *targets: str) -> None:
        (run.house / "src/sitecustomize.py").write_text(HOLD)
        (run.folder / "test.yaml").write_text(yaml.safe_dump(run.config))
        self.marks, self.before = marks, self._marked(marks)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *(targets or ["all"]), "--cores", "2", "--configfile", "test.yaml"],
            cwd=run.folder,
            env=os.environ | {"HOLD": str(marks), "RULES": ",".join(rules)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @staticmethod
    def _marked(marks: Path) -> set[str]:
        return {path.name for path in marks.iterdir() if not path.suffix}

    def wait(self) -> set[str]:
        """Wait for held jobs, on both cores if possible, or for the end; return the rules held since the start."""
        deadline = time.monotonic() + 600
        found, last = set(), time.monotonic()
        while time.monotonic() < deadline and self.process.poll() is None:
            now = self._marked(self.marks) - self.before
            if now != found:
                found, last = now, time.monotonic()
            if len(found) >= 2 or (found and time.monotonic() - last > 5):
                return found
            time.sleep(0.05)
        assert self.process.poll() is not None, "nothing was held for ten minutes"
        return found

    def job(self, rule: str) -> tuple[int, Path, Path]:
        """Return the process, the temporary file and the output that a rule was held at."""
        pid, source, target = (self.marks / rule).read_text().split("\n")
        return int(pid), Path(source), Path(target)

    def kill(self) -> None:
        """Kill Snakemake and its jobs, as a cut of the power does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def go_on(self, rule: str) -> int:
        """Let a held job go on; return the exit status of the run."""
        (self.marks / f"{rule}.go").touch()
        return self.process.wait(timeout=600)


def content(path: Path) -> bytes | list[str]:
    """Return the bytes of a result; of the tables of adaptation all but the time that training took."""
    if path.suffix != ".csv" or "adapt" not in path.parts or "predictions" in path.parts:
        return path.read_bytes()
    rows = [line.split(",") for line in path.read_text().splitlines()]
    place = rows[0].index("seconds")
    return [",".join(row[:place] + row[place + 1 :]) for row in rows]


def results(run, *folders: str) -> dict[str, bytes | list[str]]:
    """Return all results, without logs and benchmarks and what a killed job could not clear away."""
    found = {}
    for folder in folders or ("results/demo", "data"):
        for path in sorted((run.folder / folder).rglob("*")):
            name = path.relative_to(run.folder)
            if path.is_file() and not path.name.startswith(".") and not {"logs", "benchmarks"} & set(name.parts):
                found[str(name)] = content(path)
    return found


def assert_same(run, other) -> None:
    found, wanted = results(run), results(other)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []
    again = run.snakemake("-n", "all", config=run.config)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.fixture
def copy(thin, new_run):
    """A copy of the finished run."""
    folder = new_run("copy").folder
    shutil.copytree(thin.folder, folder, dirs_exist_ok=True)
    here = replace(thin, folder=folder, house=folder)
    here.config = thin.config
    return here


@pytest.fixture
def marks(tmp_path) -> Path:
    place = tmp_path / "marks"
    place.mkdir()
    return place


OF_THIN = {
    *("synthesise_voices", "make_encoder", "index_clips", "split", "extract_w2v2", "extract_mert"),
    *("probe", "gather_probe", "measure_fad", "gather_fad", "gather_left_out", "rank_fad", "measure_kad"),
    *("adapt_pooled", "gather_adapt", "gather_predictions", "gather_tasks", "evaluate", "compare", "check_claims"),
    *("tabulate_probe", "tabulate_adapt", "tabulate_paper", "tabulate_kad", "plot_fad", "plot_confusion", "summarise"),
    *("measure_transfer", "tabulate_transfer", "describe_encoder", "describe_corpus"),
    *("correlate_transfer", "tabulate_similarity", "measure_strata", "tabulate_strata"),
    *("describe_recordings", "tabulate_speakers", "map_clips"),
    *("measure_pairs", "gather_pairs_left_out", "correct_pairs", "count_nearest"),
}
OF_LOG_MEL_AND_TWO_PROTOCOLS = {"extract_logmel", "tabulate_leakage", "plot_leakage"}
OF_WS = {"gather_layer_weights", "plot_layer_weights"}
OF_DOWNLOADS = {"fetch_encoder", "fetch_ravdess"}
# the figures of rules/report.smk: one rule in a loop, of which some are killed
FIGURES = re.findall(r'^    "([\w-]+)": \(', (ROOT / "rules/report.smk").read_text(), re.M)
PLOTS = {f"plot_{figure.replace('-', '_')}" for figure in FIGURES}
# adapt_peft in test_adapt_run and pretrain in test_pretrain_run: a killed run goes on
ELSEWHERE = {"adapt_peft", "pretrain"}


def test_every_rule_is_killed_in_some_test():
    texts = [path.read_text() for path in (ROOT / "rules").glob("*.smk")]
    head = re.compile(r"^ *(?=(?:rule|checkpoint|use rule)\b.*:$)", re.M)
    parts = [part for text in texts for part in head.split(text)[1:]]
    # targets by name make nothing
    making = [part.split(":")[0] for part in parts if "output:" in part]
    named = {re.sub(r"^(rule|checkpoint|use rule \w+ as)\b|with$", "", head).strip() for head in making}
    # those of each encoder and each figure have their names from the config and from FIGURES
    looped = {"extract_w2v2", "extract_mert", *PLOTS}
    found = named - {""} | looped
    killed = OF_THIN | OF_LOG_MEL_AND_TWO_PROTOCOLS | OF_WS | OF_DOWNLOADS | ELSEWHERE
    assert killed & PLOTS >= {"plot_fad", "plot_confusion"}
    assert found - killed - PLOTS == set(), "rules that no test kills: add them to OF_THIN, or to a run that has them"
    # extraction of log-mel has no rule of its own
    assert killed - found == {"extract_logmel"}, "there are no such rules any more"


def cut_and_go_on(run, marks: Path, rules: set[str], *targets: str, torn: bool = True) -> None:
    """Run to the end; on the way kill everything once in each rule, with one output half written under its own name."""
    while True:
        running = Held(run, marks, rules, *targets)
        held = running.wait()
        if not held:
            break
        running.kill()
        for rule in held if torn else ():
            _, source, target = running.job(rule)
            whole = source.read_bytes()
            target.write_bytes(whole[: len(whole) // 2])
        # what `snakemake --unlock` does, which another test types
        shutil.rmtree(run.folder / ".snakemake/locks")
    assert running.process.returncode == 0
    assert {path.name for path in marks.iterdir()} == rules


def test_a_power_cut_in_the_middle_of_every_rule(thin, copy, marks):
    for folder in ("results", "data/demo", ".snakemake"):
        shutil.rmtree(copy.folder / folder)
    cut_and_go_on(copy, marks, OF_THIN)
    assert_same(copy, thin)


def test_a_power_cut_with_log_mel_and_two_protocols(copy, marks):
    change = {"models": ["logmel"], "split": {"protocols": ["random", "speaker"], "seeds": [0]}, "probe": {"epochs": 5}}
    config = copy.config | change | {"adapt": copy.config["adapt"] | {"epochs": 1}}
    places = [f"results/{name}" for name in ("whole", "cut")]
    target = "{}/figures/leakage.png"
    done = copy.snakemake(target.format(places[0]), config=config | {"results": places[0]})
    assert done.returncode == 0, done.stderr
    copy.config = config | {"results": places[1]}
    cut_and_go_on(copy, marks, OF_LOG_MEL_AND_TWO_PROTOCOLS, target.format(places[1]))
    whole, cut = ({name.removeprefix(place): text for name, text in results(copy, place).items()} for place in places)
    assert "/embeddings/logmel/speech/layer00/calm.h5" in whole
    assert whole.keys() == cut.keys()
    assert [name for name in whole if whole[name] != cut[name]] == []


def test_a_power_cut_while_layer_weights_are_gathered(copy, marks):
    adapt = copy.config["adapt"] | {"approaches": ["ws"], "epochs": 1}
    copy.config = copy.config | {"models": ["mert"], "adapt": adapt}
    target = "results/demo/figures/layer_weights.svg"
    cut_and_go_on(copy, marks, OF_WS, target)
    cut = (copy.folder / target).read_bytes()
    shutil.rmtree(copy.folder / "results/demo/layer_weights")
    assert copy.snakemake(target, config=copy.config).returncode == 0
    assert (copy.folder / target).read_bytes() == cut


class Published(BaseHTTPRequestHandler):
    """The hub and Zenodo; the first time that weights or an archive are asked for they send half of it, and no more."""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        place = self.path.partition("?")[0]
        content = self.server.files.get(place)
        if content is None:
            self.send_error(404)
            return
        begin = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", hashlib.sha256(content).hexdigest())
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.server.asked.append((place, begin))
        rule = {".safetensors": "fetch_encoder", ".zip": "fetch_ravdess"}.get(Path(place).suffix)
        if rule is None or (self.server.marks / rule).exists():
            self.wfile.write(content[begin:])
            return
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        # until the bytes are on the other side's disk
        time.sleep(1)
        (self.server.marks / rule).touch()
        self.server.over.wait()


@pytest.fixture
def published(marks, tmp_path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    """All of RAVDESS, very short, and a tiny encoder, on a server of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Published)
    server.daemon_threads = True
    server.files, server.asked, server.marks, server.over = {}, [], marks, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    write_encoder(tmp_path / "encoder", "wav2vec2")
    for path in (tmp_path / "encoder").iterdir():
        server.files[f"/acme/voices/resolve/one/{path.name}"] = path.read_bytes()
    noise = io.BytesIO()
    soundfile.write(noise, np.random.default_rng(0).uniform(-0.5, 0.5, 3200), 16000, format="WAV")
    for channel, archive in zenodo.RAVDESS.items():
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as writer:
            for name in zenodo.ravdess_recordings(channel):
                writer.writestr(name, noise.getvalue())
        server.files[f"/{archive.name}.zip"] = content.getvalue()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hub"), "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    yield server
    server.over.set()
    server.shutdown()


def test_a_power_cut_in_downloads(run, house, marks, published):
    """They are taken up where they broke off, by another `snakemake`."""
    run.house = house(run.folder)
    source = run.folder / "src/speechsong/corpora/zenodo.py"
    text = source.read_text().replace("https://zenodo.org/records/1188976/files", published.url)
    for archive in zenodo.RAVDESS.values():
        content = published.files[f"/{archive.name}.zip"]
        text = text.replace(archive.sha256, hashlib.sha256(content).hexdigest())
        text = text.replace(f"{archive.size:_}", str(len(content)))
    source.write_text(text)
    run.config = {
        "models": ["voices"],
        "encoders": {"voices": {"checkpoint": "acme/voices", "revision": "one", "layers": 2, "window_seconds": 30}},
        "emotions": ["calm", "happy"],
        "device": "cpu",
    }
    target = "results/embeddings/voices/music/layer02/calm.h5"
    cut_and_go_on(run, marks, OF_DOWNLOADS, target, torn=False)
    clips, means = read_pooled(run.folder / target)
    assert (len(clips), means.shape[1]) == (184, 32)
    again = run.snakemake(target, config=run.config)
    assert "Nothing to be done" in again.stdout + again.stderr
    # what had come was not asked for again
    speech = f"/{zenodo.RAVDESS['speech'].name}.zip"
    assert [begin > 0 for place, begin in published.asked if place == speech] == [False, True]
    names = [f"/acme/voices/resolve/one/{name}" for name in ("config.json", "preprocessor_config.json")]
    assert [place for place, _ in published.asked if place in names] == names


def test_a_lock_that_a_killed_run_left_says_how_to_remove_it(thin, copy, marks):
    (copy.folder / "results/demo/figures/fad.png").unlink()
    running = Held(copy, marks, {"plot_fad"})
    assert running.wait() == {"plot_fad"}
    running.kill()
    second = copy.snakemake("all", config=copy.config)
    text = second.stdout + second.stderr
    assert second.returncode != 0
    assert "--unlock" in text
    assert "Traceback" not in text
    assert copy.snakemake("--unlock", config=copy.config).returncode == 0
    assert copy.snakemake("all", config=copy.config).returncode == 0
    assert_same(copy, thin)


@pytest.mark.parametrize("rule", ["extract_mert", "measure_fad", "adapt_pooled"])
def test_a_job_that_the_system_kills(thin, copy, marks, rule):
    """As for want of memory: Snakemake lives, and the next run needs nothing else."""
    lost = {
        "extract_mert": "embeddings/mert/speech/layer01/calm.h5",
        "measure_fad": "fad/w2v2/layer02/all.csv",
        "adapt_pooled": "adapt/mert/baseline/random-0/speech.csv",
    }
    target = f"results/demo/{lost[rule]}"
    (copy.folder / target).unlink()
    running = Held(copy, marks, {rule}, target)
    assert running.wait() == {rule}
    os.kill(running.job(rule)[0], signal.SIGKILL)
    assert running.process.wait(timeout=60) != 0
    assert not (copy.folder / target).exists()
    for wanted in (target, "all"):
        done = copy.snakemake(wanted, config=copy.config)
        assert done.returncode == 0, done.stderr
    assert_same(copy, thin)


def test_two_runs_at_once(thin, copy, marks):
    (copy.folder / "results/demo/figures/fad.png").unlink()
    running = Held(copy, marks, {"plot_fad"})
    assert running.wait() == {"plot_fad"}
    second = copy.snakemake("all", config=copy.config)
    text = second.stdout + second.stderr
    assert second.returncode != 0
    assert "cannot be locked" in text
    assert "Traceback" not in text
    assert running.go_on("plot_fad") == 0
    assert_same(copy, thin)


@pytest.fixture
def read_only(copy, absent) -> Iterator[Path]:
    """Results that cannot be written, whoever one is."""
    place = str(copy.folder / "results")
    (copy.folder / "results/demo/figures/fad.png").unlink()
    if os.geteuid() or subprocess.run(["mount", "--bind", place, place], capture_output=True).returncode:
        absent("the right to mount")
    subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
    yield copy.folder / "results"
    subprocess.run(["umount", place], check=True)


def test_read_only_results(thin, copy, read_only):
    refused = copy.snakemake("all", config=copy.config)
    text = refused.stdout + refused.stderr
    assert refused.returncode != 0
    # Snakemake names the first rule that it comes to
    file = {"plot_fad": "results/demo/figures/fad.pdf", "summarise": "results/demo/summary.html"}
    (rule,) = re.findall(r"Write-protected output files for rule (\w+)", text)
    assert file[rule] in text
    assert "Traceback" not in text
    subprocess.run(["mount", "-o", "remount,rw,bind", str(read_only)], check=True)
    assert copy.snakemake("all", config=copy.config).returncode == 0
    assert_same(copy, thin)


def test_a_clock_that_was_moved_back(thin, copy):
    """All that is there comes from tomorrow: Snakemake makes nothing that would be older than what it is made from."""
    tomorrow = time.time() + 86400
    # recordings are no rule's input, and would count as changed
    folders = ("results", "data/encoders", "data/demo/encoders")
    for folder in folders:
        for path in (copy.folder / folder).rglob("*"):
            if path.is_file():
                os.utime(path, (tomorrow, tomorrow))
    for name in ("fad/mert/layer01/calm.csv", "fad/mert.csv", "probe/w2v2.csv"):
        (copy.folder / "results/demo" / name).unlink()
    refused = copy.snakemake("all", config=copy.config)
    text = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "older modification time" in text
    assert "Traceback" not in text
    # as the README says
    moment = f"@{int(time.time())}"
    command = ["find", *folders, "-newermt", moment, "-exec", "touch", "-d", moment, "{}", "+"]
    subprocess.run(command, cwd=copy.folder, check=True)
    done = copy.snakemake("all", config=copy.config)
    assert done.returncode == 0, done.stderr
    assert "Extract" not in done.stdout + done.stderr
    assert_same(copy, thin)
