"""The report in a real browser without network: all of it is drawn, nothing complains, it fits a laptop and a phone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from browser import Browser

ROOT = Path(__file__).parents[2]
WIDTHS = {"laptop": 1366, "phone": 375}
FIGURES = (
    *("probe_layers", "probe_emotions-random", "probe_emotions-speaker", "confusion-random", "confusion-speaker"),
    *("probe_emotions-converged-random", "probe_emotions-converged-speaker", "transfer", "fad_pairs"),
    *("similarity", "strata", "layer_weights", "clip_map"),
    *("confusion-converged-random", "confusion-converged-speaker", "paper_layers", "paper_emotions", "paper_fad"),
    *("leakage", "adapt", "fad"),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(demo) -> Path:
    """The demo's report."""
    style = ROOT / "workflow/report/report.css"
    options = ("--report", "results/demo/report.html", "--report-stylesheet", str(style))
    done = demo.snakemake("all", *options, config=demo.config)
    assert done.returncode == 0, done.stdout + done.stderr
    # what Snakemake has not got with it, it fetches
    assert "downloading" not in (done.stdout + done.stderr).lower()
    return demo.folder / "results/demo/report.html"


@pytest.fixture
def browser(absent):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        absent("Chromium (for the tests of the report; Debian: apt-get install chromium)")
    with Browser(chromium) as browser:
        yield browser
        assert browser.problems == []
        assert [url[:80] for url in browser.urls if not url.startswith(("file:", "data:", "blob:"))] == []


def no_overflow(browser: Browser) -> bool:
    return browser.run("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) <= innerWidth")


def pictures(browser: Browser, selector: str) -> list[bool]:
    """For each image: whether it was decoded and has room on the page."""
    each = "i => i.naturalWidth > 0 && i.getBoundingClientRect().width > 200"
    return browser.run(f"[...document.querySelectorAll('{selector}')].map({each})")


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_it_opens_on_the_summary(report, demo, browser, width):
    browser.open(report, width)
    browser.wait("document.querySelector('#rulegraph canvas')")
    assert pictures(browser, ".summary img") == [True] * len(FIGURES)
    text = browser.run("document.querySelector('.summary').innerText")
    assert demo.config["notice"] in text
    assert "120 recordings of 10 speakers" in text
    # its top is in sight
    assert browser.run(
        "(h => Boolean(document.elementFromPoint(h.left + 5, h.top + 5)?.closest('h1')))"
        "(document.querySelector('.summary h1').getBoundingClientRect())"
    )
    # the column of text is not squeezed, and its tables scroll in their own boxes
    assert browser.run("document.querySelector('.summary').clientWidth") > 0.6 * width
    assert browser.run(
        "document.querySelector('.summary').scrollWidth <= document.querySelector('.summary').clientWidth"
    )
    assert no_overflow(browser)


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_every_result_is_shown_with_its_caption(report, browser, width):
    browser.open(report, width)
    found = set()
    for category in range(browser.run("document.querySelectorAll('.categories a').length")):
        browser.open(report, width)
        browser.run(f"document.querySelectorAll('.categories a')[{category}].click()")
        browser.wait("document.querySelector('nav tbody tr')")
        for row in range(browser.run("document.querySelectorAll('nav tbody tr').length")):
            links = f"document.querySelectorAll('nav tbody tr')[{row}].querySelectorAll('a')"
            found.add(browser.run(f"document.querySelectorAll('nav tbody tr')[{row}].innerText.trim()"))
            if browser.run(f"{links}[0].hasAttribute('download')"):
                assert browser.run(f"{links}[0].href").startswith("data:text/csv")
                continue
            browser.run(f"{links}[0].click()")
            browser.wait("document.querySelector('.overflow-auto > div > img')")
            assert pictures(browser, ".overflow-auto > div > img") == [True]
            assert no_overflow(browser)
    results = browser.run("results")
    assert found == {result["labels"]["result"] for result in results.values()}
    assert {Path(path).stem for path in results if path.endswith(".png")} == set(FIGURES)
    assert all(len(result["caption"]) > 50 for result in results.values())


def test_runtimes_and_rules_are_in_it(report, browser):
    browser.open(report, WIDTHS["laptop"])
    browser.run("app.setView({content: 'stats'})")
    browser.wait("document.querySelector('#runtimes canvas') && document.querySelector('#timeline canvas')")
    rules = browser.run("rules")
    assert "getattr(figures, params.figure)(" in re.sub("<[^>]*>", "", rules["plot_probe_layers"]["code"])
    assert {"extract_w2v2", "probe", "measure_fad", "summarise"} <= set(rules)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_summary_stands_by_itself(demo, browser, dark):
    page = demo.folder / "results/demo/summary.html"
    for width in WIDTHS.values():
        browser.open(page, width, dark=dark)
        assert pictures(browser, "img") == [True] * len(FIGURES)
        assert no_overflow(browser)
        # how light the text and the page are; a page that has no colour is white
        ink = browser.run("getComputedStyle(document.querySelector('.summary')).color")
        paper = browser.run("getComputedStyle(document.body).backgroundColor").replace(
            "rgba(0, 0, 0, 0)", "255 255 255"
        )
        ink, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in (ink, paper))
        assert (ink > 200, paper < 60) == (dark, dark)
        assert (ink < 60, paper > 200) == (not dark, not dark)


def test_there_is_no_report_of_half_a_run(run):
    done = run.snakemake("all", "--report", "report.html", config={"results": "results"})
    assert done.returncode != 0
    assert not (run.folder / "report.html").exists()
