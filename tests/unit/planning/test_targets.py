"""What a configuration asks for: layers, approaches, stages, splits."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from speechsong.errors import UserError
from speechsong.planning import targets

CONFIG = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def config() -> dict:
    return copy.deepcopy(CONFIG)


def test_layers_have_two_digits_and_start_at_the_input_of_the_first_block(config):
    assert targets.layers(config, "w2v2") == [f"{i:02d}" for i in range(13)]
    assert targets.layers(config, "logmel") == ["00"]


def test_log_mel_has_the_baseline_alone(config):
    assert targets.approaches(config, "hubert") == ["baseline", "ws", "peft"]
    assert targets.approaches(config, "logmel") == ["baseline"]
    config["adapt"]["approaches"] = ["ws"]
    assert targets.approaches(config, "logmel") == targets.stages(config, "logmel") == []


def test_every_direction_has_its_source_and_target():
    assert targets.directions(["speech", "music"]) == {
        "speech": ("speech", None),
        "music": ("music", None),
        "speech+music": ("speech+music", None),
        "speech-speech": ("speech", "speech"),
        "speech-music": ("speech", "music"),
        "music-speech": ("music", "speech"),
        "music-music": ("music", "music"),
    }
    trained = {name: targets.trained_on(["speech", "music"], name) for name in targets.directions(["speech", "music"])}
    assert trained["music"] == ["music"]
    assert trained["speech-music"] == ["music"]
    assert trained["speech+music"] == ["speech", "music"]


def test_stages_are_all_approaches_splits_and_directions(config):
    config["adapt"] |= {"protocols": ["random", "speaker"], "seeds": [0, 3]}
    stages = targets.stages(config, "mert")
    assert len(stages) == len(set(stages)) == 3 * 2 * 2 * 7
    assert "peft/speaker-3/music-speech" in stages


def ask(config, function=targets.stage_params, **changes):
    wildcards = {"model": "mert", "approach": "peft", "protocol": "random", "seed": "2", "direction": "speech-music"}
    return function(config, **wildcards | changes)


def test_a_stage_has_what_its_approach_needs_and_no_more(config):
    config["adapt"]["freeze_gate"] = True
    peft = ask(config)
    assert (peft["source"], peft["target"], peft["seed"], peft["layers"]) == ("speech", "music", 2, [*range(1, 13)])
    assert peft["training"]["learning_rate"] == 1e-4
    assert peft["training"]["freeze_gate"] is True
    assert set(peft["adapters"]) == {"rank", "alpha", "targets", "width", "gate"}
    # stage one learns the gates that stage two leaves as they are
    assert ask(config, direction="speech")["training"]["freeze_gate"] is False
    ws = ask(config, approach="ws")
    assert ws["training"]["learning_rate"] == 1e-3
    assert ws["adapters"] == {}
    assert "freeze_gate" not in ws["training"]


def test_peft_with_one_part_has_an_approach_and_settings_of_its_own(config):
    config["adapt"] |= {
        "parts": ["all", "lora", "bottleneck", "gate"],
        "seeds": {"baseline": [5], "ws": [6], "peft": [7]},
    }
    names = ["baseline", "ws", "peft", "peft-lora", "peft-bottleneck", "peft-gate"]
    assert targets.approaches(config, "hubert") == names
    assert targets.approaches(config, "logmel") == ["baseline"]
    assert {targets.seeds(config, "adapt", name)[0] for name in names[2:]} == {7}
    assert "peft-gate/random-7/speech+music" in targets.stages(config, "hubert")
    of_part = {name: ask(config, approach=name) for name in names[2:]}
    keys = {name: set(found["adapters"]) for name, found in of_part.items()}
    assert keys.pop("peft") == set.union(*keys.values())
    assert keys == {"peft-lora": {"rank", "alpha", "targets"}, "peft-bottleneck": {"width"}, "peft-gate": {"gate"}}
    assert {found["training"]["learning_rate"] for found in of_part.values()} == {1e-4}
    config["adapt"]["parts"] = ["gate"]
    assert targets.approaches(config, "hubert") == ["baseline", "ws", "peft-gate"]


def test_chosen_layers_are_sorted_and_log_mel_has_its_one(config):
    config["adapt"]["layers"] = [6, 4]
    assert ask(config)["layers"] == [4, 6]
    assert ask(config, model="logmel", approach="baseline")["layers"] == [0]


@pytest.mark.parametrize("function", [targets.stage_params, targets.stage_files])
def test_log_mel_takes_no_other_approach(config, function):
    with pytest.raises(UserError, match="`logmel` is log-mel spectra, which have only the approach baseline"):
        ask(config, function, model="logmel", approach="ws")


def test_stage_two_starts_from_its_own_stage_one(config):
    assert ask(config, targets.stage_files, direction="music") == {"split": "<results>/splits/random-2.csv"}
    start = "<results>/checkpoints/mert/peft/random-2/speech"
    assert ask(config, targets.stage_files) == {
        "split": "<results>/splits/random-2.csv",
        "start": f"{start}.safetensors",
        "description": f"{start}.json",
    }


def test_joint_training_starts_from_nothing_and_is_tested_on_both(config):
    config["adapt"]["freeze_gate"] = True
    joint = ask(config, direction="speech+music")
    assert (joint["source"], joint["target"], joint["tested"]) == ("speech+music", None, ["speech", "music"])
    assert joint["training"] == ask(config, direction="speech")["training"]
    assert ask(config, targets.stage_files, direction="speech+music") == {"split": "<results>/splits/random-2.csv"}


def test_stages_without_peft_share_the_embeddings_of_their_layers(config):
    config["adapt"]["layers"] = [4, 5]
    config["emotions"] = ["calm", "sad"]
    asked = ("mert", "ws", "random", "2")
    assert targets.pooled_files(config, *asked) == {"split": "<results>/splits/random-2.csv"} | {
        f"from_{domain}": [
            f"<results>/embeddings/mert/{domain}/layer{layer}/{emotion}.h5"
            for layer in ("04", "05")
            for emotion in ("calm", "sad")
        ]
        for domain in ("speech", "music")
    }
    stages = targets.pooled_params(config, *asked)
    assert stages == {
        name: targets.stage_params(config, *asked, name) for name in targets.directions(["speech", "music"])
    }
    # a stage two comes after the stage that it starts from
    names = list(stages)
    assert all(names.index(stage["source"]) < names.index(name) for name, stage in stages.items() if stage["target"])
    for function in (targets.pooled_files, targets.pooled_params):
        with pytest.raises(UserError, match="`logmel` is log-mel spectra, which have only the approach baseline"):
            function(config, "logmel", "ws", "random", "2")


def test_predictions_are_those_of_every_layer_or_of_every_stage(config):
    probes = targets.predictions(config, "hubert", "probe")
    assert len(probes) == 26
    assert probes[0] == "<results>/predictions/hubert/probe/speech/layer00.csv"
    adapted = targets.predictions(config, "hubert", "adapt")
    assert adapted == [f"<results>/predictions/hubert/{stage}.csv" for stage in targets.stages(config, "hubert")]


def test_the_paper_is_about_ravdess_with_all_six_emotions(config):
    assert targets.paper_domains(config) == ["speech", "music"]
    config["domains"] = ["music", "speech"]
    assert targets.paper_domains(config) == ["speech", "music"]
    assert targets.paper_domains(config | {"emotions": ["calm", "happy"]}) is None
    both = config["corpora"] | {"music": config["corpora"]["speech"]}
    assert targets.paper_domains(config | {"corpora": both}) is None
    table = config["corpora"] | {"music": {"reader": "table", "table": "a.csv"}}
    assert targets.paper_domains(config | {"corpora": table}) is None


def test_leakage_shows_where_one_task_uses_both_protocols(config):
    assert targets.compares_protocols(config)
    config["split"]["protocols"] = ["random"]
    config["adapt"]["protocols"] = ["speaker"]
    assert not targets.compares_protocols(config)
    config["adapt"]["protocols"] = ["speaker", "random"]
    assert targets.compares_protocols(config)


def test_approaches_may_have_seeds_of_their_own(config):
    config["adapt"] |= {"protocols": ["speaker"], "seeds": {"baseline": [0, 1, 2, 3, 4], "ws": [0, 1], "peft": [3]}}
    found = [stage.split("/")[:2] for stage in targets.stages(config, "mert") if stage.endswith("/speech")]
    assert found == [
        *(["baseline", f"speaker-{seed}"] for seed in range(5)),
        *(["ws", f"speaker-{seed}"] for seed in range(2)),
        ["peft", "speaker-3"],
    ]
    assert targets.splits_in_words(config, "adapt") == (
        "speaker split, seeds 0, 1, 2, 3, 4 (baseline), seeds 0, 1 (ws), seeds 3 (peft)"
    )
    lines = [line for line in targets.folds_left_out(config) if line.startswith("`adapt`")]
    assert [line.split(" test")[0] for line in lines] == [
        "`adapt`: the seeds 0, 1 of the speaker split for ws",
        "`adapt`: the seeds 3 of the speaker split for peft",
    ]


@pytest.mark.parametrize(
    ("seeds", "said"), [([0, 1, 2, 3, 4], False), ([5, 1, 2, 3, 9], False), ([0, 1, 2, 3, 5], True), ([0], True)]
)
def test_seeds_that_leave_folds_out_are_told(config, seeds, said):
    config["split"]["seeds"] = seeds
    lines = targets.folds_left_out(config)
    assert len(lines) == said
    if said:
        assert lines[0].startswith(f"`split`: the seeds {', '.join(map(str, seeds))} of the speaker split")
    config["split"]["protocols"] = ["random"]
    assert targets.folds_left_out(config) == []


def test_splits_in_words(config):
    assert targets.splits_in_words(config, "split") == "random and speaker split, seeds 0, 1, 2, 3, 4"


def test_what_an_encoder_was_pretrained_on_changes_no_output_of_it(config):
    mert = config["encoders"]["mert"]
    assert mert["pretrained_on"] == "music"
    without = {key: value for key, value in mert.items() if key != "pretrained_on"}
    assert targets.encoder_params(config, "mert") == ask(config)["encoder"] == without | {"precision": "float32"}


def test_the_order_in_which_keys_are_written_changes_no_parameter(config):
    before = repr(targets.encoder_params(config, "mert"))
    config["encoders"]["mert"] = dict(reversed(config["encoders"]["mert"].items()))
    assert repr(targets.encoder_params(config, "mert")) == before


def test_speech_and_song_are_known_by_their_channel_whatever_the_emotions(config):
    config["domains"] = ["music", "speech"]
    assert targets.sides(config) == targets.paper_domains(config) == ["speech", "music"]
    config["emotions"] = ["calm", "happy"]
    assert targets.sides(config) == ["speech", "music"]
    assert targets.paper_domains(config) is None
    config["corpora"]["music"] = {"reader": "table", "table": "sung.csv"}
    assert targets.sides(config) is None


def test_a_pretrained_encoder_has_its_folder_as_checkpoint(config):
    entry = {"steps": 9, "domains": ["speech"], "layout": "hubert", "width": 96, "blocks": 4}
    config["encoders"]["mine"] = {"pretrain": entry, "layers": 4, "window_seconds": 30, "pretrained_on": "speech"}
    assert targets.encoder_params(config, "mine") == {
        "checkpoint": "results/encoders/mine",
        "layers": 4,
        "precision": "float32",
        "window_seconds": 30,
    }


def test_settings_of_a_pretraining_are_complete_and_in_one_order(config):
    entry = {"steps": 9, "domains": ["speech"], "layout": "hubert", "width": 96, "blocks": 4}
    config["encoders"]["mine"] = {"pretrain": entry}
    one = targets.pretrain_params(config, "mine")
    config["encoders"]["mine"] = {"pretrain": dict(reversed(entry.items())) | {"seed": 0, "exclude_speakers": []}}
    assert repr(targets.pretrain_params(config, "mine")) == repr(one)
    assert one["learning_rate"] == 0.002


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"reader": "ravdess", "source": "zenodo"}, "RAVDESS"),
        ({"reader": "ravdess"}, "RAVDESS"),
        # the demo's voices have the file names of RAVDESS
        ({"reader": "ravdess", "source": "demo"}, ""),
        ({"reader": "table", "table": "ravdess.csv"}, ""),
    ],
)
def test_only_a_corpus_that_is_known_has_a_name(entry, name):
    assert targets.corpus({"corpora": {"speech": entry}}, "speech") == name
