"""Works to cite are those of what the run used, and the page ends in them."""

from __future__ import annotations

import pytest

from common import ROOT
from speechsong import files
from speechsong.adaptation.checkpoints import APPROACHES
from speechsong.encoders.families import FAMILIES
from speechsong.report import page
from speechsong.report.works import works

TEMPLATE = (ROOT / "workflow/report/summary.html.j2").read_text(encoding="utf-8")


@pytest.fixture
def used(tmp_path):
    """Write what a run says of its corpora and encoders, and list the works to cite for it."""

    def cite(corpora: list[str], families: list[str], approaches: list[str]):
        for i, corpus in enumerate(corpora):
            files.write_rows(tmp_path / f"corpus{i}.csv", [{"domain": f"d{i}", "corpus": corpus}])
        for i, family in enumerate(families):
            files.write_rows(tmp_path / f"encoder{i}.csv", [{"model": f"m{i}", "control": "", "family": family}])
        corpus_files = [str(tmp_path / f"corpus{i}.csv") for i in range(len(corpora))]
        return works(corpus_files, [str(tmp_path / f"encoder{i}.csv") for i in range(len(families))], approaches)

    return cite


def test_the_paper_s_run(used):
    found = used(["RAVDESS", "RAVDESS"], ["wav2vec2", "hubert", "mert_model"], ["baseline", "ws", "peft"])
    assert [work.address.split("/")[-1] for work in found] == [
        *("2409.17899", "journal.pone.0196391", "2006.11477", "2106.07447", "2306.00107"),
        *("1812.08466", "2502.15602", "2106.09685", "1902.00751"),
    ]


def test_only_what_was_used_is_cited(used):
    # log-mel has no family
    found = used(["", "RAVDESS"], ["whisper", ""], ["baseline", "peft-bottleneck"])
    texts = " ".join(work.text for work in found)
    assert "Robust speech recognition" in texts and "RAVDESS" in texts and "transfer learning for NLP" in texts
    assert not any(word in texts for word in ("wav2vec", "HuBERT", "MERT", "LoRA"))
    assert "RAVDESS" not in " ".join(work.text for work in used(["", ""], ["whisper"], []))
    # the paper and two distances
    assert len(used([""], [], ["peft-gate"])) == 3


def test_who_pre_trains_cites_the_recipe(tmp_path):
    assert works([], [], []) == works([], [], [], pretrained=False)
    (recipe,) = set(works([], [], [], pretrained=True)) - set(works([], [], []))
    assert "masked prediction of hidden units" in recipe.text


def test_every_family_has_a_work_and_no_work_is_there_twice(used):
    for family in FAMILIES:
        assert len(used([""], [family], [])) == 4, family
    found = used(["RAVDESS"] * 2, 2 * list(FAMILIES), list(APPROACHES))
    assert len({work.address for work in found}) == len({work.text for work in found}) == len(found)


def test_the_page_ends_in_them(used):
    found = used(["RAVDESS"], ["wavlm"], [])
    text = page.page("t", {}, [], "", TEMPLATE, "", found)
    end = text[text.index("Please cite") :]
    assert end.count("<li>") == len(found)
    for work in found:
        assert f'<a href="{work.address}">' in end
    assert "Please cite" not in page.page("t", {}, [], "", TEMPLATE, "")
