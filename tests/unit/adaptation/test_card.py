"""The card of an export: what a hub reads of it, what it says of licences, and where its numbers come from."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from checkpoints import build, save
from made_stages import EMOTIONS, OF_PART, PEFT
from speechsong import cli, files
from speechsong.adaptation import adapters, card, checkpoints
from speechsong.encoders import loading

W2V2, MERT = "facebook/wav2vec2-base-960h", "m-a-p/MERT-v1-95M"
KEYS = ("model", "approach", "fit", "protocol", "source", "target", "stage", "test_domain", "over", "layer")


def description(name: str = W2V2, family: str = "wav2vec2", **changes) -> dict:
    """Describe a checkpoint of stage two."""
    settings = {key: list(PEFT[key]) if key == "targets" else PEFT[key] for key in OF_PART["lora"]}
    return {
        **{"approach": "peft-lora", "model": "w2v2", "protocol": "speaker", "seed": 1, "family": family},
        **{"source": "speech", "target": "music", "stage": 2, "emotions": EMOTIONS, "layers": [1, 2, 3]},
        **{"encoder": {"checkpoint": name, "revision": "0" * 40, "control": None}, "weights": "ab" * 8},
        **{"settings": settings, "window_seconds": 30},
    } | changes


def metric(name: str, value: float, **changes) -> dict:
    """Make a row of metrics/{model}/adapt.csv."""
    row = dict.fromkeys(KEYS, "") | {"model": "w2v2", "approach": "peft-lora", "protocol": "speaker", "stage": 2}
    row |= {"source": "speech", "target": "music", "test_domain": "music", "metric": name, "value": value}
    return row | {"low": value - 0.05, "high": value + 0.04, "clips": 90, "speakers": 23, "seeds": 5} | changes


RAVDESS = {"speech": "RAVDESS", "music": "RAVDESS"}
RANDOM = {"encoder": {"checkpoint": W2V2, "revision": "r", "control": "random"}}
LOCAL = {"encoder": {"checkpoint": "/home/me/models/mine", "revision": None, "control": None}}


@pytest.mark.parametrize(
    ("changes", "corpora", "licence"),
    [
        ({}, RAVDESS, "cc-by-nc-sa-4.0"),
        ({"name": MERT, "family": "mert_model"}, RAVDESS, "cc-by-nc-sa-4.0"),
        ({"name": "openai/whisper-tiny.en", "family": "whisper"}, RAVDESS, "cc-by-nc-sa-4.0"),
        # of its weights nothing is left
        (RANDOM, RAVDESS, "cc-by-nc-sa-4.0"),
        (LOCAL, RAVDESS, ""),
        ({"name": "microsoft/wavlm-base", "family": "wavlm"}, RAVDESS, ""),
        ({}, {"speech": "RAVDESS", "music": ""}, ""),
        ({}, {"speech": "", "music": ""}, ""),
        ({}, {}, ""),
    ],
)
def test_the_licence_follows_from_corpus_and_encoder_or_is_unknown(changes, corpora, licence):
    described = description(**changes)
    front = card.front_matter(described, corpora, [])
    assert front["license"] == (licence or "other")
    assert front.get("license_name") == (None if licence else "unknown")
    assert ("Whoever publishes" in card.card(described, corpora, [])) == (not licence)


def test_only_an_encoder_of_the_hub_is_a_base_model():
    assert card.front_matter(description(), RAVDESS, [])["base_model"] == W2V2
    for changes in (RANDOM, LOCAL):
        front = card.front_matter(description(**changes), RAVDESS, [])
        assert "base_model" not in front
    assert "Wav2Vec2Model(its config) after torch.manual_seed(0)" in card.card(description(**RANDOM), RAVDESS, [])
    text = card.card(description(**LOCAL), {}, [])
    assert "/home" not in text
    assert "`mine`, whose weights have the digest `abab" in text


@pytest.fixture
def exported(tmp_path):
    """Export a checkpoint of wav2vec 2.0 from where a run puts it; gives the export and the checkpoint."""

    def export(tables: bool = True, corpus: str = "RAVDESS"):
        save(build("wav2vec2"), tmp_path / "encoder", "wav2vec2")
        encoder = loading.load(tmp_path / "encoder", name="tiny", layers=3, window_seconds=30)
        described = description(weights=encoder.weights)
        settings = adapters.Settings(**{key: PEFT[key] for key in OF_PART["lora"]}, layers=(1, 2, 3))
        model = adapters.Adapted(encoder, settings, 3, seed=0)
        path = tmp_path / "results/checkpoints/w2v2/peft-lora/speaker-1/speech-music.safetensors"
        with torch.no_grad():
            named = {name: value.detach().numpy() for name, value in model.trained().items()}
        checkpoints.write(path, named, described)
        if tables:
            for domain in ("speech", "music"):
                files.write_rows(tmp_path / f"results/corpora/{domain}.csv", [{"domain": domain, "corpus": corpus}])
            rows = [
                *(metric("accuracy", 0.8), metric("uar", 0.75), metric("recall_sad", 0.1)),
                metric("accuracy", 0.6, test_domain="speech", low="", high=""),
                # other settings
                *(metric("accuracy", 0.2, protocol="random"), metric("accuracy", 0.3, approach="ws")),
                *(metric("accuracy", 0.4, target=""), metric("accuracy", 0.5, source="music")),
            ]
            files.write_rows(tmp_path / "results/metrics/w2v2/adapt.csv", rows)
        assert cli.main(["export", "--card", str(path), str(tmp_path / "lora")]) == 0
        return tmp_path / "lora", path

    return export


def test_a_hub_reads_the_card(exported):
    folder, _ = exported()
    names = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    front = yaml.safe_load(text.split("---\n")[1])
    assert {key: front[key] for key in list(front)[:7]} == {
        "library_name": "peft",
        "base_model": W2V2,
        "base_model_relation": "adapter",
        "license": "cc-by-nc-sa-4.0",
        "pipeline_tag": "audio-classification",
        "tags": ["speechsong", "lora", "emotion-recognition"],
        "datasets": ["ravdess"],
    }
    assert front["metrics"] == ["accuracy", "recall"]
    # the hub's own client takes the results apart, and refuses what it does not understand
    data = ModelCard(text).data
    assert data.base_model == json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    results = data.eval_results
    found = [(r.dataset_type, r.dataset_name, r.dataset_split, r.metric_type, r.metric_value) for r in results]
    assert found == [
        ("ravdess", "RAVDESS, music", "test", "accuracy", 0.8),
        ("ravdess", "RAVDESS, music", "test", "recall", 0.75),
        ("ravdess", "RAVDESS, speech", "test", "accuracy", 0.6),
    ]
    assert data.eval_results[0].metric_name == "accuracy [75.0, 84.0] % (95 % interval over speakers, 5 seeds)"
    assert "| music | accuracy | 80.0 [75.0, 84.0] | 23 |\n" in text
    assert "| speech | accuracy | 60.0 | 23 |\n" in text
    assert "pooled over 5 trainings" in text
    assert f'Wav2Vec2Model.from_pretrained("{W2V2}", revision="{"0" * 40}")' in text


def test_a_checkpoint_without_its_run(exported):
    folder, _ = exported(tables=False)
    text = (folder / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["license"], front["license_name"]) == ("other", "unknown")
    assert not {"datasets", "metrics", "model-index"} & front.keys()
    assert "The run has no metrics of this checkpoint." in text
    assert ModelCard(text).data.eval_results is None


def test_a_corpus_that_is_not_known_is_not_named(exported):
    folder, _ = exported(corpus="")
    front = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert "datasets" not in front
    assert front["model-index"][0]["results"][0]["dataset"] == {"type": "music", "name": "music", "split": "test"}


def test_a_card_replaces_a_card_and_nothing_else(exported, capsys):
    folder, path = exported()
    assert cli.main(["export", "--card", str(path), str(folder)]) == 0
    other = folder.parent / "other"
    other.mkdir()
    (other / "README.md").write_text("mine")
    capsys.readouterr()
    assert cli.main(["export", "--card", str(path), str(other)]) == 1
    assert capsys.readouterr().err == (f"error: {other / 'README.md'}: is not of an export; name a folder of its own\n")
    assert [file.name for file in other.iterdir()] == ["README.md"]


@pytest.mark.parametrize("table", ["metrics/w2v2/adapt.csv", "corpora/music.csv"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"metric,value\naccuracy,1\n"])
def test_a_table_that_is_damaged(exported, capsys, table, content):
    folder, path = exported()
    (path.parents[4] / table).write_bytes(content)
    capsys.readouterr()
    status = cli.main(["export", "--card", str(path), str(folder)])
    if status == 0:
        # a table without the column names no corpus
        assert table.startswith("corpora")
        assert "license: other" in (folder / "README.md").read_text(encoding="utf-8")
    else:
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{table}: " in line


def test_a_description_that_is_damaged(exported, capsys):
    folder, path = exported()
    beside = checkpoints.description_of(path)
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"target": ["music"]}))
    capsys.readouterr()
    assert cli.main(["export", "--card", str(path), str(folder)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: ") or line.startswith(f"error: {beside}: ")
