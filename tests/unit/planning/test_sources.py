"""Where encoders come from, and what is still to be fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechsong.errors import UserError
from speechsong.planning.plan import Run
from speechsong.planning.sources import encoder_sources, still_to_fetch

HUB = {"checkpoint": "acme/voices", "revision": "one", "layers": 2}
LOGMEL = {"control": "log-mel", "layers": 0}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def local(folder: str, *names: str) -> dict:
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return {"checkpoint": folder, "layers": 2}


def config(**encoders) -> dict:
    return {"results": "results", "models": list(encoders), "encoders": encoders}


def test_an_encoder_of_the_hub_is_known_by_its_config_alone():
    source = encoder_sources(config(a=HUB))["a"]
    assert (source.kind, source.folder) == ("hub", Path("data/encoders/acme--voices/one"))
    assert source.files == ["data/encoders/acme--voices/one/config.json"]


def test_an_encoder_of_the_demo_has_its_three_files_before_they_are_made():
    source = encoder_sources(config(a=HUB | {"source": "demo", "checkpoint": "made"}))["a"]
    assert source.kind == "demo"
    assert source.files == ["made/config.json", "made/preprocessor_config.json", "made/model.safetensors"]


def test_a_local_encoder_has_the_weights_that_lie_there():
    entry = local("mine", "config.json", "preprocessor_config.json", "pytorch_model.bin")
    source = encoder_sources(config(a=entry, b=entry | {"control": "random"}))
    assert source["a"].kind == "local"
    assert source["a"].files == ["mine/config.json", "mine/preprocessor_config.json", "mine/pytorch_model.bin"]
    # random weights are drawn, not read
    assert source["b"].files == ["mine/config.json", "mine/preprocessor_config.json"]


def test_a_processor_stands_for_the_extractor():
    entry = local("mine", "config.json", "processor_config.json", "model.safetensors")
    files = encoder_sources(config(a=entry))["a"].files
    assert files == ["mine/config.json", "mine/processor_config.json", "mine/model.safetensors"]


def test_a_local_encoder_that_lacks_a_file_is_refused():
    entry = local("mine", "config.json")
    with pytest.raises(UserError, match=r"`encoders.a.checkpoint`: mine lacks preprocessor_config.json"):
        encoder_sources(config(a=entry))


def test_log_mel_has_no_source():
    assert list(encoder_sources(config(a=HUB, b=LOGMEL))) == ["a"]


def test_a_revision_that_leads_elsewhere_is_refused():
    with pytest.raises(UserError, match="revision"):
        encoder_sources(config(a=HUB | {"revision": "../../etc"}))


def test_encoders_that_share_a_checkpoint_are_one_line():
    run = config(a=HUB, b=HUB | {"control": "random"}, c=LOGMEL)
    sources = encoder_sources(run)
    assert still_to_fetch(run, Run({}, {}, {}, []), sources) == [
        "Still to be fetched: acme/voices into data/encoders/acme--voices/one, or set `encoders.a.checkpoint` and "
        "`encoders.b.checkpoint`"
    ]
    local("data/encoders/acme--voices/one", "config.json")
    assert still_to_fetch(run, Run({}, {}, {}, []), sources) == []


def test_recordings_are_told_until_they_are_there():
    corpus = {"root": "voices", "channel": "song"}
    run = Run({}, {}, {"zenodo": {"music": corpus}}, [])
    assert still_to_fetch(config(), run, {}) == [
        "Still to be fetched: RAVDESS song (zenodo.org/records/1188976) into voices, or set `corpora.music.root`"
    ]
    local("voices/Actor_01", "a.wav")
    assert still_to_fetch(config(), run, {}) == []


PRETRAINED = {"pretrain": {"domains": ["speech"]}, "layers": 2}


def test_a_pretrained_encoder_has_its_files_below_the_results():
    source = encoder_sources(config(a=PRETRAINED) | {"results": "results/x/"})["a"]
    assert (source.kind, source.folder) == ("pretrained", Path("results/x/encoders/a"))
    names = ("config.json", "preprocessor_config.json", "model.safetensors")
    assert source.files == [f"<results>/encoders/a/{name}" for name in names]


def test_its_control_has_the_same_files():
    control = {"checkpoint": "results/encoders/a", "layers": 2, "control": "random"}
    sources = encoder_sources(config(a=PRETRAINED, b=control))
    assert sources["a"] == sources["b"]
