"""Settings: what the schema says of their defaults, and who is left out."""

from __future__ import annotations

from dataclasses import MISSING, fields

import yaml

from common import ROOT
from speechsong.corpora.recordings import Recording
from speechsong.pretraining.settings import Settings


def test_the_schema_has_the_same_keys_and_defaults():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    part = schema["$defs"]["encoder"]["properties"]["pretrain"]
    assert list(part["properties"]) == [field.name for field in fields(Settings)]
    for field in fields(Settings):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        assert (default is MISSING) == (field.name in part["required"])
        assert part["properties"][field.name]["default"] == (None if default is MISSING else default)


def test_speakers_can_be_left_out(small):
    recordings = [Recording(f"{i}", f"{i}.wav", "calm", speaker) for i, speaker in enumerate("aabc")]
    assert [r.clip_id for r in small(exclude_speakers=["a", "c"]).keep(recordings)] == ["2"]
    assert small().keep(recordings) == recordings
