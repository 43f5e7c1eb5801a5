"""The map draws every clip in the colour of its emotion and with the mark of its domain, and the means of both."""

from __future__ import annotations

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from made_results import map_of_clips, pick
from speechsong.report import figures, style

EMOTIONS = ["calm", "happy", "sad"]
DOMAINS = ["speech", "music"]


def test_clips_and_means():
    table = map_of_clips("mert", "hubert")
    figure = figures.clip_map(table, DOMAINS, EMOTIONS)
    for axis, model in zip(figure.axes, ("mert", "hubert"), strict=True):
        panel = pick(table, model=model)
        assert axis.get_title() == f"{model}, layer 3"
        assert axis.get_xlabel() == "PC 1 (31 % of variance)"
        assert axis.get_ylabel() == "PC 2 (13 %)"
        drawn = [c for c in axis.collections if isinstance(c, PathCollection)]
        small, large = drawn[:2], drawn[2:]
        for domain, dots in zip(DOMAINS, small, strict=True):
            wanted = pick(panel, domain=domain)
            assert sorted(map(tuple, dots.get_offsets())) == sorted(map(tuple, wanted[["x", "y"]].to_numpy()))
            emotion_at = {(row.x, row.y): row.emotion for row in wanted.itertuples()}
            for place, colour in zip(dots.get_offsets(), dots.get_facecolors(), strict=True):
                look = style.of_emotion(emotion_at[tuple(place)], EMOTIONS)
                assert matplotlib.colors.to_rgb(look["color"]) == tuple(colour[:3])
        assert len({dots.get_paths()[0].vertices.tobytes() for dots in small}) == 2
        means = panel.groupby(["emotion", "domain"])[["x", "y"]].mean()
        wanted = [means.loc[emotion, domain] for emotion in EMOTIONS for domain in DOMAINS]
        np.testing.assert_allclose([dots.get_offsets()[0] for dots in large], wanted)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*DOMAINS, *EMOTIONS]


@pytest.mark.parametrize("models", [1, 3, 4])
def test_panels_that_are_not_needed_are_not_seen(models):
    figure = figures.clip_map(map_of_clips(*"abcd"[:models]), DOMAINS, EMOTIONS)
    assert [axis.get_title()[:1] for axis in figure.axes if axis.get_visible()] == list("abcd")[:models]


def test_clips_make_vector_files_no_larger(tmp_path):
    sizes = []
    for times in (1, 20):
        table = pd.concat([map_of_clips("mert")] * times)
        style.save(figures.clip_map(table, DOMAINS, EMOTIONS), [str(tmp_path / "map.svg")], "")
        sizes.append((tmp_path / "map.svg").stat().st_size)
    assert sizes[1] < 1.5 * sizes[0]
