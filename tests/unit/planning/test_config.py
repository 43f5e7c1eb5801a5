"""Configurations that ship are right; each mistake is one line with the key and what is allowed."""

from __future__ import annotations

import copy
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from common import ROOT
from speechsong.errors import UserError
from speechsong.planning import config

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def merged(*changes: dict) -> dict:
    """The defaults with changes merged over them as Snakemake merges a --configfile."""
    result = copy.deepcopy(DEFAULTS)
    for change in changes:
        update_config(result, change)
    return result


def complaint(*changes: dict, lacking: str | None = None) -> str:
    """The one line that a configuration is refused with."""
    checked = merged(*changes)
    if lacking:
        *above, last = lacking.split(".")
        part = checked
        for key in above:
            part = part[key]
        del part[last]
    with pytest.raises(UserError) as caught:
        config.check(checked, SCHEMA)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", ["config.yaml", "demo.yaml", "tests/real.yaml", "tests/pair.yaml"])
def test_configurations_that_ship(name):
    config.check(merged(yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))), SCHEMA)


@pytest.mark.parametrize("other", ["demo.yaml", "tests/real.yaml"])
def test_checking_changes_nothing(other):
    checked = merged(yaml.safe_load((ROOT / other).read_text(encoding="utf-8")))
    before = copy.deepcopy(checked)
    config.check(checked, SCHEMA)
    assert checked == before


def described(part: dict, above: tuple = ()) -> dict[tuple, dict]:
    """The keys of a part of the schema, with what it says of each; a key that groups others is none."""
    found = {}
    for name, entry in part["properties"].items():
        groups = "properties" in entry and "description" not in entry
        found |= described(entry, (*above, name)) if groups else {(*above, name): entry}
    return found


def test_the_schema_describes_every_key_and_has_the_defaults():
    """The catalogue of workflows and config/README.md show them."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    keys = described(schema)
    assert {key for key, entry in keys.items() if "description" not in entry or "default" not in entry} == set()
    for key, entry in keys.items():
        value = DEFAULTS
        for name in key:
            value = value[name]
        assert key in [("corpora",), ("encoders",)] or entry["default"] == value
    for kind, catalogue in (("corpus", "corpora"), ("encoder", "encoders")):
        of_entries = described(schema["$defs"][kind])
        assert {key for key, entry in of_entries.items() if not {"description", "default"} <= set(entry)} == set()
        assert {(key,) for entry in DEFAULTS[catalogue].values() for key in entry} <= of_entries.keys()


TABLE = {"reader": "table", "table": "my.csv"}


@pytest.mark.parametrize(
    "changes",
    [
        {"domains": ["music", "speech"]},
        {"domains": ["talk", "opera"], "corpora": {"talk": TABLE, "opera": TABLE | {"root": "audio"}}},
        {"speakers": "independent", "device": "cuda:1", "emotions": ["calm", "happy-2"]},
        {"models": ["mine"], "encoders": {"mine": {"checkpoint": ".", "layers": 1, "window_seconds": 0.5}}},
        {"split": {"protocols": ["speaker"], "seeds": [7], "fractions": [0.8, 0.1, 0.1]}},
        {"fad": {"blocks": 2}},
        {"probe": {"weight_decay": 0, "learning_rate": 1}},
    ],
)
def test_what_users_may_ask_for(changes):
    config.check(merged(changes), SCHEMA)


# --- unknown keys


@pytest.mark.parametrize(
    ("changes", "key", "meant"),
    [
        ({"emotion": ["calm"]}, "emotion", "emotions"),
        ({"Results": "x"}, "Results", "results"),
        ({"probe": {"epoch": 5}}, "probe.epoch", "epochs"),
        ({"split": {"seed": [1]}}, "split.seed", "seeds"),
        ({"fad": {"block": 5}}, "fad.block", "blocks"),
        ({"corpora": {"music": {"chanel": "song"}}}, "corpora.music.chanel", "channel"),
        ({"encoders": {"w2v2": {"window": 20}}}, "encoders.w2v2.window", "window_seconds"),
        ({"encoders": {"w2v2": {"layer": 20}}}, "encoders.w2v2.layer", "layers"),
    ],
)
def test_unknown_keys(changes, key, meant):
    text = complaint(changes)
    assert text.startswith(f"config: unknown key `{key}`; did you mean `{meant}`? (known here: ")


def test_an_unknown_key_like_no_other():
    text = complaint({"probe": {"zzz": 1}})
    assert text == "config: unknown key `probe.zzz` (known here: fit, epochs, learning_rate, weight_decay, batch_size)"


@pytest.mark.parametrize(
    ("lacking", "parts"),
    [
        ("domains", ["`domains` is missing"]),
        ("probe.epochs", ["`probe.epochs` is missing"]),
        ("encoders.hubert.layers", ["`encoders.hubert.layers` is missing"]),
        ("corpora.music.reader", ["`corpora.music.reader` is missing"]),
        ("corpora.speech.channel", ["`corpora.speech.channel` is missing"]),
        ("corpora.speech.root", ["`corpora.speech.root` is missing"]),
    ],
)
def test_missing_keys(lacking, parts):
    text = complaint(lacking=lacking)
    for part in parts:
        assert part in text


def test_a_table_corpus_without_its_table():
    assert "`corpora.talk.table` is missing" in complaint(
        {"domains": ["talk", "music"], "corpora": {"talk": {"reader": "table", "root": "audio"}}}
    )


# --- catalogues


UNFINISHED = {
    "corpora": {"later": {"reader": "magic", "rot": 3}, "sketch": None},
    "encoders": {"later": {"layers": "many", "chekpoint": "x"}, "sketch": []},
}


def test_entries_that_the_run_does_not_use_are_not_checked():
    config.check(merged(UNFINISHED), SCHEMA)


@pytest.mark.parametrize("name", ["later", "sketch"])
@pytest.mark.parametrize(
    ("key", "catalogue", "beside"), [("domains", "corpora", "speech"), ("models", "encoders", "w2v2")]
)
def test_entries_that_the_run_uses_are_checked(name, key, catalogue, beside):
    assert f"`{catalogue}.{name}" in complaint(UNFINISHED, {key: [beside, name]})


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"models": ["w2v2", "huber"]}, ["`models`", "`huber`", "did you mean `hubert`?", "w2v2, hubert, mert"]),
        ({"models": ["bert9000xyz"]}, ["`models`", "`bert9000xyz`", "w2v2, hubert, mert"]),
        ({"domains": ["speach", "music"]}, ["`domains`", "`speach`", "did you mean `speech`?", "speech, music"]),
        ({"domains": ["speech", "song"]}, ["`domains`", "`song`", "under `corpora`", "speech, music"]),
    ],
)
def test_misspelt_names(changes, parts):
    text = complaint(changes)
    for part in parts:
        assert part in text


def test_a_suggestion_is_made_only_where_something_is_like_it():
    assert "did you mean" not in complaint({"models": ["bert9000xyz"]})


# --- values


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"results": 3}, "results"),
        ({"results": ""}, "results"),
        ({"notice": None}, "notice"),
        ({"notice": "a\x0bb"}, "notice"),
        ({"notice": "\x1b[31m"}, "notice"),
        ({"notice": "\uffff"}, "notice"),
        ({"corpora": {"speech": {"mirror": "file:///etc"}}}, "corpora.speech.mirror"),
        ({"domains": "speech"}, "domains"),
        ({"domains": ["speech"]}, "domains"),
        ({"domains": ["speech", "speech"]}, "domains"),
        ({"domains": ["speech", "music", "speech2"]}, "domains"),
        ({"speakers": "pared"}, "speakers"),
        ({"device": "gpu"}, "device"),
        ({"device": "cuda:x"}, "device"),
        ({"device": 0}, "device"),
        ({"device": "cpu\n"}, "device"),
        ({"emotions": []}, "emotions"),
        ({"emotions": ["calm", "calm"]}, "emotions"),
        ({"emotions": ["calm", 3]}, "emotions.1"),
        ({"models": []}, "models"),
        ({"models": "w2v2"}, "models"),
        ({"split": {"protocols": ["speakers"]}}, "split.protocols.0"),
        ({"split": {"protocols": []}}, "split.protocols"),
        ({"split": {"seeds": []}}, "split.seeds"),
        ({"split": {"seeds": [-1]}}, "split.seeds.0"),
        ({"split": {"seeds": [0, 0]}}, "split.seeds"),
        ({"split": {"seeds": 5}}, "split.seeds"),
        ({"split": {"fractions": [0.8, 0.2]}}, "split.fractions"),
        ({"split": {"fractions": [0.8, 0.2, 0]}}, "split.fractions.2"),
        ({"split": {"fractions": ["60%", 0.2, 0.2]}}, "split.fractions.0"),
        ({"split": None}, "split"),
        ({"probe": {"epochs": 0}}, "probe.epochs"),
        ({"probe": {"epochs": "many"}}, "probe.epochs"),
        ({"probe": {"epochs": True}}, "probe.epochs"),
        ({"probe": {"epochs": 2.5}}, "probe.epochs"),
        ({"probe": {"learning_rate": 0}}, "probe.learning_rate"),
        ({"probe": {"learning_rate": "1e-3"}}, "probe.learning_rate"),
        ({"probe": {"weight_decay": -0.1}}, "probe.weight_decay"),
        ({"probe": {"batch_size": 0}}, "probe.batch_size"),
        ({"fad": {"blocks": 1}}, "fad.blocks"),
        ({"corpora": []}, "corpora"),
        ({"corpora": {"speech": "data/ravdess"}}, "corpora.speech"),
        ({"corpora": {"speech": {"reader": "csv"}}}, "corpora.speech.reader"),
        ({"corpora": {"speech": {"channel": "music"}}}, "corpora.speech.channel"),
        ({"corpora": {"speech": {"source": "web"}}}, "corpora.speech.source"),
        ({"corpora": {"speech": {"root": ""}}}, "corpora.speech.root"),
        ({"encoders": {"mert": {"layers": 0}}}, "encoders.mert.layers"),
        ({"encoders": {"mert": {"layers": "12"}}}, "encoders.mert.layers"),
        ({"encoders": {"mert": {"layers": 100}}}, "encoders.mert.layers"),
        ({"encoders": {"mert": {"window_seconds": 0}}}, "encoders.mert.window_seconds"),
        ({"encoders": {"mert": {"checkpoint": None}}}, "encoders.mert.checkpoint"),
        ({"encoders": {"mert": {"revision": 5}}}, "encoders.mert.revision"),
        ({"encoders": {"mert": {"control": "mfcc"}}}, "encoders.mert.control"),
        ({"encoders": {"mert": {"pretrained_on": "birds"}}}, "encoders.mert.pretrained_on"),
    ],
)
def test_wrong_values(changes, key):
    assert f"config key `{key}`: " in complaint(changes)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "probe: {learning_rate: 1e-3}",
            "`probe.learning_rate`: '1e-3' is not of type 'number': YAML reads a text here; write 0.001,",
        ),
        ("probe: {learning_rate: 1e-7}", "write 1.0e-07, without quotes"),
        ("probe: {epochs: '500'}", "write 500, without quotes"),
        (
            "emotions: [calm, no]",
            "`emotions.1`: False is not of type 'string': YAML does not read a text here; it reads no, off",
        ),
        ("encoders: {mert: {revision: 12}}", "YAML does not read a text here; put it into quotes"),
        ("notice: 2024-01-01", "put it into quotes"),
    ],
)
def test_what_yaml_reads_otherwise(text, line):
    found = complaint(yaml.safe_load(text))
    assert line in found
    said = re.search("write ([^ ,]+),", found)
    # what it says to write is what was meant
    assert said is None or isinstance(yaml.safe_load(said[1]), int | float)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, 10**400])
@pytest.mark.parametrize("key", ["probe.learning_rate", "probe.epochs", "adapt.alpha", "adapt.cache_gb", "fad.blocks"])
def test_numbers_that_nothing_can_be_computed_with(key, value):
    part, name = key.split(".")
    text = complaint({part: {name: value}})
    assert text.startswith(f"config key `{key}`: ")
    assert len(text) < 400


@pytest.mark.parametrize(
    "changes",
    [
        {"probe": {"epochs": 500.0}},
        {"probe": {"batch_size": 32.0}},
        {"split": {"seeds": [0.0]}},
        {"fad": {"blocks": 10.0}},
        {"encoders": {"mert": {"layers": 12.0}}},
    ],
)
def test_whole_numbers_are_written_as_such(changes):
    # `epochs: 5.0e+2` is a float in YAML, and no loop runs a float of times
    assert "config key `" in complaint(changes)


@pytest.mark.parametrize("fractions", [[0.6, 0.2, 0.1], [0.6, 0.3, 0.2], [0.9, 0.9, 0.9], [0.6, 0.2, 0.2001]])
def test_fractions_that_do_not_add_up(fractions):
    text = complaint({"split": {"fractions": fractions}})
    assert text.startswith("config key `split.fractions`: ")
    assert f"{sum(fractions):g}" in text


@pytest.mark.parametrize("fractions", [[0.6, 0.2, 0.2], [0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3], [0.98, 0.01, 0.01]])
def test_fractions_that_add_up(fractions):
    config.check(merged({"split": {"fractions": fractions}}), SCHEMA)


@pytest.mark.parametrize(
    ("key", "name", "known"),
    [("emotions", "all", "calm"), ("emotions", "left_out", "calm")],
)
def test_names_that_the_workflow_uses_itself(key, name, known):
    line = f"config key `{key}.1`: '{name}' is a name that the workflow uses itself; choose another"
    assert complaint({key: [known, name]}) == line


@pytest.mark.parametrize("name", ["acoustic", "frechet", "probe", "all"])
def test_an_encoder_may_have_any_name(name):
    # each has an extraction rule of its own, named after it
    config.check(merged({"models": [name], "encoders": {name: DEFAULTS["encoders"]["mert"]}}), SCHEMA)


@pytest.mark.parametrize("folder", ["", "data/{x}", "a{b", "a\nb"])
def test_folders_that_snakemake_would_read_as_patterns(folder):
    assert "config key `corpora.speech.root`: " in complaint({"corpora": {"speech": {"root": folder}}})
    assert "config key `results`: " in complaint({"results": folder})


@pytest.mark.parametrize(
    "index",
    ["[]", "{", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": 3}']
    + [f'{{"weight_map": {{"a": "{shard}"}}}}' for shard in ("a{b}.safetensors", "../a.safetensors")],
)
def test_an_index_of_shards_that_is_none(tmp_path, index):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UserError) as caught:
        config.checkpoint_files("big", str(tmp_path))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("config key `encoders.big.checkpoint`: ")
    assert "model.safetensors.index.json" in text


BAD_NAMES = ["..", ".", "../x", "a/b", "/etc", "a\\b", ".hidden", "-x", "_x", "", "a b", "a.b", "a\nb", "{x}", "*", "ä"]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("key", ["domains", "models", "emotions"])
def test_names_that_are_no_file_names(key, name):
    # they become folders and files of the results
    entries = {"corpora": {name: DEFAULTS["corpora"]["speech"]}, "encoders": {name: DEFAULTS["encoders"]["mert"]}}
    first = {"domains": "music", "models": "w2v2", "emotions": "calm"}[key]
    text = complaint(entries, {key: [first, name]})
    assert f"config key `{key}.1`: {name!r}: a name is made of letters, digits, _ and -" in text


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=3)
)


def leaves(part: dict, above: tuple = ()) -> list[tuple]:
    return [
        path for k, v in part.items() for path in (leaves(v, (*above, k)) if isinstance(v, dict) else [(*above, k)])
    ]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(leaves(DEFAULTS)), LEAVES)
def test_any_value_anywhere_passes_or_gives_one_line(path, value):
    checked = copy.deepcopy(DEFAULTS)
    part = checked
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    try:
        config.check(checked, SCHEMA)
    except UserError as error:
        assert "\n" not in str(error)
        assert path[0] in str(error)


# --- where a checkpoint is


def test_a_checkpoint_that_is_no_folder_needs_a_revision():
    text = complaint({"encoders": {"hubert": {"checkpoint": "data/encoders/mine", "revision": None}}})
    for part in ("`encoders.hubert.checkpoint`", "no folder data/encoders/mine", "`encoders.hubert.revision`"):
        assert part in text


def test_a_checkpoint_is_on_the_hub_unless_it_is_a_folder_or_will_be(tmp_path):
    assert config.is_on_hub({"checkpoint": "facebook/hubert-base-ls960"})
    assert not config.is_on_hub({"checkpoint": str(tmp_path)})
    assert not config.is_on_hub({"checkpoint": "data/none", "source": "demo"})


# --- controls


def test_controls_are_asked_for_by_name():
    config.check(merged({"models": ["hubert", "hubert-random", "logmel"], "adapt": {"layers": [4, 12]}}), SCHEMA)
    real, control = (DEFAULTS["encoders"][name] for name in ("hubert", "hubert-random"))
    # a control has learnt nothing
    assert control == {k: v for k, v in real.items() if k != "pretrained_on"} | {"control": "random"}


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"checkpoint": "a"}, "config: unknown key `encoders.logmel.checkpoint` (known here: control, layers)"),
        ({"window_seconds": 3}, "config: unknown key `encoders.logmel.window_seconds` (known here: control, layers)"),
        ({"layers": 12}, "config key `encoders.logmel.layers`: 0 was expected"),
    ],
)
def test_log_mel_spectra_have_nothing_to_set(entry, line):
    assert complaint({"models": ["logmel"], "encoders": {"logmel": entry}}) == line


def test_an_encoder_without_a_checkpoint_is_none_unless_it_is_log_mel():
    assert "`encoders.w2v2.checkpoint` is missing" in complaint(lacking="encoders.w2v2.checkpoint")
    text = complaint({"models": ["x"], "encoders": {"x": {"control": "random", "layers": 12, "window_seconds": 3}}})
    assert "`encoders.x.checkpoint` is missing" in text


def test_layers_are_checked_for_a_random_encoder():
    text = complaint({"models": ["logmel", "hubert-random"], "adapt": {"layers": [13]}})
    assert text == "config key `adapt.layers`: 13, but encoder `hubert-random` has 12 layers"


def test_a_random_encoder_needs_no_weights(tmp_path):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    assert config.checkpoint_files("x", str(tmp_path), weights=False) == [
        str(tmp_path / name) for name in ("config.json", "preprocessor_config.json")
    ]
    with pytest.raises(UserError, match=r"`encoders\.x\.checkpoint`: .* lacks model\.safetensors"):
        config.checkpoint_files("x", str(tmp_path))


def test_log_mel_is_nowhere_on_the_hub():
    assert not config.is_on_hub(DEFAULTS["encoders"]["logmel"])
    assert config.is_on_hub(DEFAULTS["encoders"]["hubert-random"])


def test_a_gate_on_an_adapter_that_is_not_there_is_refused():
    adapt = {"gate": "bottleneck", "parts": ["all", "gate"]}
    assert complaint({"adapt": adapt}).startswith("config key `adapt.parts`: the gate `bottleneck` multiplies")
    for fine in ({"gate": "block"}, {"parts": ["all", "lora", "bottleneck"]}, {"approaches": ["ws"]}):
        config.check(merged({"adapt": adapt | fine}), SCHEMA)


def test_a_run_in_which_nothing_can_be_adapted_is_refused():
    line = "config key `adapt.approaches`: log-mel spectra have only the approach baseline; add it"
    assert complaint({"models": ["logmel"], "adapt": {"approaches": ["ws", "peft"]}}) == line
    config.check(merged({"models": ["logmel", "w2v2"], "adapt": {"approaches": ["ws"]}}), SCHEMA)
    adapt = {"models": ["logmel"], "approaches": ["ws"]}
    assert complaint({"models": ["logmel", "w2v2"], "adapt": adapt}) == line


def test_models_that_are_adapted_are_in_the_catalogue_and_one_is_in_the_run():
    assert "there is no `w2w2` under `encoders`; did you mean `w2v2`?" in complaint({"adapt": {"models": ["w2w2"]}})
    line = "config key `adapt.models`: none of them is in `models`; name one that is, or write null for all"
    assert complaint({"models": ["mert"], "adapt": {"models": ["w2v2"]}}) == line
    config.check(merged({"models": ["mert"], "adapt": {"models": ["w2v2", "mert"]}}), SCHEMA)


def test_an_embedded_encoder_that_does_not_exist_is_refused():
    encoder = {"checkpoint": "data/demo/encoders/wavlm", "layers": 2, "window_seconds": 30, "source": "demo"}
    line = complaint({"models": ["x"], "encoders": {"x": encoder}})
    assert line.startswith("config key `encoders.x.checkpoint`: with `source: demo`")
    assert "hubert-speech, mert-song or w2v2-speech" in line


# --- corpora of another reader


def layered(*layers: dict) -> dict:
    """Merge as Snakemake does, then forget what is of another reader."""
    whole: dict = {}
    for layer in layers:
        update_config(whole, copy.deepcopy(layer))
    config.forget_other_readers(whole, layers)
    return whole["corpora"]


RAVDESS = {"reader": "ravdess", "root": "data/ravdess", "channel": "speech", "source": "zenodo"}


def test_a_table_inherits_nothing_from_ravdess():
    default = {"corpora": {"speech": RAVDESS, "music": RAVDESS}}
    mine = {"reader": "table", "table": "t.csv"}
    assert layered(default, {"corpora": {"speech": mine}}) == {"speech": mine, "music": RAVDESS}
    # over several files, the last of which gives one key more
    more = {"corpora": {"speech": {"root": "data/ravdess"}}}
    assert layered(default, {"corpora": {"speech": mine}}, more)["speech"] == mine | {"root": "data/ravdess"}
    assert layered(default, more, {"corpora": {"speech": mine}})["speech"] == mine
    # and back again
    assert layered(default, {"corpora": {"speech": mine}}, default)["speech"] == RAVDESS


def test_an_entry_of_the_same_reader_inherits():
    default = {"corpora": {"speech": RAVDESS}}
    assert layered(default, {"corpora": {"speech": {"root": "mine"}}})["speech"] == RAVDESS | {"root": "mine"}
    changed = {"reader": "ravdess", "source": None}
    assert layered(default, {"corpora": {"speech": changed}})["speech"] == RAVDESS | {"source": None}


@pytest.mark.parametrize("corpora", [3, None, {"speech": 3}, {"new": {"reader": "table"}}, {"speech": {"reader": []}}])
def test_what_is_no_corpus_is_left_to_the_check(corpora):
    layers = [{"corpora": {"speech": RAVDESS}}, {"corpora": corpora}]
    whole = {"corpora": corpora}
    config.forget_other_readers(whole, layers)
    assert whole == {"corpora": corpora}


# --- keys of a corpus


@pytest.mark.parametrize(
    ("keys", "parts"),
    [
        ({"labels": {1: "sad"}}, ["corpora.speech.labels", "1"]),
        ({"labels": {"no": False}}, ["corpora.speech.labels.no", "False"]),
        ({"columns": {"spkr": "x"}}, ["corpora.speech.columns", "spkr", "speaker"]),
        ({"exclude": [7]}, ["corpora.speech.exclude.0", "7"]),
        ({"exclude": ""}, ["corpora.speech.exclude"]),
    ],
)
def test_keys_of_a_corpus(keys, parts):
    text = complaint({"corpora": {"speech": keys}})
    for part in parts:
        assert part in text


def test_keys_of_a_corpus_that_are_right():
    keys = {"labels": {"1": "sad", "ps": "surprised"}, "columns": {"speaker": "SpkrID"}, "exclude": ["a", "b"]}
    for exclude in (["a"], "list.txt", []):
        config.check(merged({"corpora": {"speech": keys | {"exclude": exclude}}}), SCHEMA)


# --- pre-training

PRETRAIN = {"domains": ["speech"], "layout": "hubert", "width": 96, "blocks": 4, "steps": 1000}
MADE = {"pretrain": PRETRAIN, "layers": 4, "window_seconds": 30}


def with_made(**changes) -> dict:
    """A run of an encoder that is pre-trained, with changes of its entry."""
    return {"models": ["mine"], "encoders": {"mine": MADE | changes}}


def test_an_encoder_that_is_pretrained_needs_no_checkpoint():
    config.check(merged(with_made()), SCHEMA)
    every = PRETRAIN | {
        "seconds": 2,
        "batch_size": 8,
        "learning_rate": 0.01,
        "clusters": 50,
        "iterations": 2,
        "seed": 1,
    }
    config.check(merged(with_made(pretrain=every | {"exclude_speakers": ["01"]}, pretrained_on="speech")), SCHEMA)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            {"checkpoint": "facebook/hubert-base-ls960"},
            "config key `encoders.mine.checkpoint`: `pretrain` makes this encoder, so it has no `checkpoint`; leave "
            "out one of the two, or give the entry a name that config.yaml does not have",
        ),
        (
            {"control": "random"},
            "config key `encoders.mine.control`: `pretrain` makes this encoder; for its random control, add an entry "
            "with `checkpoint: results/encoders/mine` and `control: random`",
        ),
        (
            {"layers": 5},
            "config key `encoders.mine.pretrain.blocks`: 4, but `encoders.mine.layers` says 5; correct one of them",
        ),
        (
            {"pretrain": PRETRAIN | {"layout": "hubrt"}},
            "config key `encoders.mine.pretrain.layout`: 'hubrt' is not one of ['hubert', 'wav2vec2', 'mert']",
        ),
        (
            {"pretrain": PRETRAIN | {"domains": ["speach"]}},
            "config key `encoders.mine.pretrain.domains`: there is no `speach` under `corpora`; did you mean `speech`? "
            "(known: speech, music)",
        ),
        (
            {"pretrain": PRETRAIN | {"domains": []}},
            "config key `encoders.mine.pretrain.domains`: [] should be non-empty",
        ),
        (
            {"pretrain": PRETRAIN | {"width": 100}},
            "config key `encoders.mine.pretrain.width`: 100 is not a multiple of 32",
        ),
        (
            {"pretrain": PRETRAIN | {"iterations": 3}},
            "config key `encoders.mine.pretrain.iterations`: 3 is not one of [1, 2]",
        ),
        (
            {"pretrain": {key: value for key, value in PRETRAIN.items() if key != "steps"}},
            "config: key `encoders.mine.pretrain.steps` is missing",
        ),
    ],
)
def test_mistakes_in_a_pretraining(entry, line):
    assert complaint(with_made(**entry)) == line


def test_a_corpus_that_only_a_pretraining_uses_is_checked():
    changes = with_made(pretrain=PRETRAIN | {"domains": ["more"]})
    assert (
        complaint(changes, {"corpora": {"more": {"reader": "table"}}}) == "config: key `corpora.more.table` is missing"
    )
    config.check(merged(changes, {"corpora": {"more": TABLE}}), SCHEMA)


def test_a_control_may_have_the_folder_of_a_pretrained_encoder():
    control = {"checkpoint": "results/encoders/mine", "layers": 4, "window_seconds": 30, "control": "random"}
    changes = {"models": ["mine", "mine-random"], "encoders": {"mine": MADE, "mine-random": control}}
    config.check(merged(changes), SCHEMA)
    # nobody makes it where the encoder is not in the run
    assert "there is no folder results/encoders/mine" in complaint(changes, {"models": ["mine-random"]})
