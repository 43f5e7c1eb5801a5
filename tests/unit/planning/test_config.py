"""Configurations that ship are right; each mistake is one line with the key and what is allowed."""

from __future__ import annotations

import copy

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


@pytest.mark.parametrize("name", ["config.yaml", "demo.yaml", "tests/real.yaml"])
def test_configurations_that_ship(name):
    config.check(merged(yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))), SCHEMA)


@pytest.mark.parametrize("other", ["demo.yaml", "tests/real.yaml"])
def test_checking_changes_nothing(other):
    checked = merged(yaml.safe_load((ROOT / other).read_text(encoding="utf-8")))
    before = copy.deepcopy(checked)
    config.check(checked, SCHEMA)
    assert checked == before


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
        ({"domains": "speech"}, "domains"),
        ({"domains": ["speech"]}, "domains"),
        ({"domains": ["speech", "speech"]}, "domains"),
        ({"domains": ["speech", "music", "speech2"]}, "domains"),
        ({"speakers": "pared"}, "speakers"),
        ({"device": "gpu"}, "device"),
        ({"device": "cuda:x"}, "device"),
        ({"device": 0}, "device"),
        ({"emotions": ["calm"]}, "emotions"),
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


def test_a_run_in_which_nothing_can_be_adapted_is_refused():
    line = "config key `adapt.approaches`: log-mel spectra have only the approach baseline; add it"
    assert complaint({"models": ["logmel"], "adapt": {"approaches": ["ws", "peft"]}}) == line
    config.check(merged({"models": ["logmel", "w2v2"], "adapt": {"approaches": ["ws"]}}), SCHEMA)
