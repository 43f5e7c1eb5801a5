"""Mistakes are one line, other errors keep their traceback; progress is told now and then."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common import ROOT
from speechsong import logs
from speechsong.errors import UserError

# --- reporting


def run(tmp_path, body: str) -> tuple[subprocess.CompletedProcess, str]:
    """Run a script as a rule's: its end, and its log file."""
    script = tmp_path / "script.py"
    script.write_text(
        "from speechsong import errors, logs\n"
        f"with logs.reporting({str(tmp_path / 'logs/deep/x.log')!r}):\n    {body}\nprint('after')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=False)
    return done, (tmp_path / "logs/deep/x.log").read_text()


def test_a_users_mistake_is_one_line_and_status_1(tmp_path):
    done, log = run(tmp_path, "raise errors.UserError('Zoë.wav: is silent; replace it')")
    assert done.returncode == 1
    assert done.stdout == ""
    for text in (done.stderr, log):
        assert re.fullmatch(r"\d\d:\d\d:\d\d error: Zoë\.wav: is silent; replace it\n", text)


def test_a_log_that_is_a_link_leaves_its_target_alone(tmp_path):
    (tmp_path / "logs/deep").mkdir(parents=True)
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "logs/deep/x.log").symlink_to(tmp_path / "mine")
    _, log = run(tmp_path, "logs.log.info('hello')")
    assert "hello" in log
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to offer")
def test_on_a_full_disk_the_one_line_stands_alone(tmp_path):
    body = (
        "logs.log.handlers[1].setStream(open('/dev/full', 'w'))\n"
        "    raise errors.UserError('a.h5: cannot be written (the disk is full); free some space')"
    )
    done, _ = run(tmp_path, body)
    assert done.returncode == 1
    assert re.fullmatch(r"\d\d:\d\d:\d\d error: a\.h5: cannot be written [^\n]*\n", done.stderr)


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "logs/deep/x.log").mkdir(parents=True)
    script = f"from speechsong import logs\nwith logs.reporting({str(tmp_path / 'logs/deep/x.log')!r}): pass"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "x.log: cannot be written" in done.stderr


def test_a_mistake_with_a_cause_is_still_one_line(tmp_path):
    done, log = run(tmp_path, "\n    try: {}['x']\n    except KeyError as e: raise errors.UserError('lacks x') from e")
    assert done.returncode == 1
    assert done.stderr == log
    assert log.count("\n") == 1
    assert "Traceback" not in log


def test_another_error_keeps_its_traceback(tmp_path):
    done, log = run(tmp_path, "logs.log.info('begun'); 1 / 0")
    assert done.returncode == 1
    for text in (done.stderr, log):
        assert "begun" in text
        assert text.count("Traceback") == 1
        assert text.rstrip().endswith("ZeroDivisionError: division by zero")


def test_success_leaves_its_messages(tmp_path):
    done, log = run(tmp_path, "logs.log.info('halfway')")
    assert (done.returncode, done.stdout) == (0, "after\n")
    assert done.stderr == log
    assert re.fullmatch(r"\d\d:\d\d:\d\d halfway\n", log)


def test_a_log_is_overwritten_and_let_go(tmp_path):
    path = tmp_path / "x.log"
    path.write_text("of an earlier run\n")
    before = list(logs.log.handlers)
    with logs.reporting(path):
        logs.log.info("one")
    with pytest.raises(SystemExit), logs.reporting(path):
        raise UserError("two")
    logs.log.info("three")
    assert logs.log.handlers == before
    assert re.fullmatch(r"\d\d:\d\d:\d\d error: two\n", path.read_text())


# --- progress


@pytest.fixture
def clock(monkeypatch, caplog):
    """A clock to be set, and the lines logged so far."""
    now = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, logger="speechsong")
    return now, lambda: [r.getMessage() for r in caplog.records]


def test_progress_lines(clock):
    now, lines = clock
    advance = logs.progress(100, "clips")
    now[0] += 2
    advance(10)
    assert lines() == []
    now[0] += 3
    advance(10)
    assert lines() == ["20/100 clips, 4.0 clips a second, 0:20 left"]
    now[0] += 4.9
    advance(10)
    assert len(lines()) == 1
    now[0] += 0.1
    advance(20)
    assert lines()[1:] == ["50/100 clips, 5.0 clips a second, 0:10 left"]
    # the last one is always told
    advance(50)
    assert lines()[2:] == ["100/100 clips, 10.0 clips a second, 0:00 left"]


@pytest.mark.parametrize(
    ("total", "left"), [(61, "1:00"), (62, "1:01"), (3601, "1:00:00"), (3600, "59:59"), (90001, "25:00:00")]
)
def test_time_left(clock, total, left):
    now, lines = clock
    advance = logs.progress(total, "epochs", seconds=1)
    now[0] += 1
    advance(1)
    assert lines() == [f"1/{total} epochs, 1.0 epochs a second, {left} left"]


def test_progress_of_no_time_at_all(clock):
    logs.progress(3, "clips")(3)
    (line,) = clock[1]()
    assert line.startswith("3/3 clips")
    assert line.endswith("0:00 left")
