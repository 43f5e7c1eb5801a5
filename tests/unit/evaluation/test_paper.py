"""The paper's numbers, and ours beside them."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from speechsong.evaluation import paper


def test_the_numbers_are_the_papers():
    """Nearly every value is a share of 203 clips; the two that are not are misprints."""
    printed = [value for pair in paper.TABLE_3.values() for values in pair for value in values if value is not None]
    printed += [value for best, worst, _ in paper.TABLE_1.values() for value in (best[0], worst[0])]
    assert len(printed) == 34 + 6
    assert sorted(value for value in printed if paper.misprinted(value)) == [61.85, 72.77]
    assert not paper.misprinted(100 * 177 / 203)


def tables(models: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `summaries.best_and_worst` and `summaries.two_stages`, with numbers that tell where they come from."""
    probes, adapted = [], []
    for (i, model), domain, protocol in itertools.product(enumerate(models), ("talk", "sung"), ("random", "speaker")):
        base = 10 * i + (5 if domain == "talk" else 0) + (40 if protocol == "random" else 0)
        row = {
            "domain": domain,
            "protocol": protocol,
            "fit": "paper",
            "model": model,
            "best_layer": 5,
            "worst_layer": 12,
        }
        for k, name in enumerate(("best", "worst", "mean")):
            row |= {name: base + k, f"{name}_low": base + k - 3, f"{name}_high": base + k + 30}
        probes += [row, row | {"fit": "converged", "best": 0.0, "worst": 0.0, "mean": 0.0}]
        for approach in ("baseline", "ws"):
            row = {"protocol": protocol, "target": domain, "source": "sung" if domain == "talk" else "talk"}
            row |= {"model": model, "approach": approach}
            for k, name in enumerate(("stage_one", "stage_two")):
                row |= {name: base + k, f"{name}_low": base, f"{name}_high": base + 2}
            adapted.append(row)
    return pd.DataFrame(probes), pd.DataFrame(adapted)


def test_ours_stand_beside_the_papers():
    found = paper.beside(*tables(["w2v2", "mine"]), ["talk", "sung"])
    assert len(found) == 9 + 9 + 36
    one = found[(found["table"] == "I") & (found["encoder"] == "w2v2")].set_index("what")
    row = one.loc["best layer"]
    assert (row["paper"], row["paper_layer"], row["ours"], row["layer"]) == (79.80, 5, 45, 5)
    assert row["difference"] == pytest.approx(45 - 79.80)
    assert row["files"] == pytest.approx((45 - 79.80) * 2.03)
    assert (row["inside"], one.loc["worst layer", "inside"]) == ("no", "yes")  # 42 to 75 and 43 to 76
    assert one.loc["mean of layers", "ours"] == 47
    assert one.loc["mean of layers", ["paper_layer", "layer"]].isna().all()
    two = found[(found["table"] == "II") & (found["encoder"] == "w2v2")].set_index("what")
    assert list(two["ours"]) == [40, 41, 42] and list(two["layer"].dropna()) == [5, 12]
    assert two["paper"].isna().all() and set(two["note"]) == {"not legible"}
    three = found[(found["table"] == "III") & (found["encoder"] == "w2v2") & (found["approach"] == "ws")].set_index(
        "what"
    )
    assert three.loc["talk, stage one", "paper"] == 79.31
    assert three.loc["talk then sung", "paper"] == 77.83
    assert three.loc["talk then sung", "ours"] == 41  # tested on what is sung
    assert three.loc["sung then talk", "ours"] == 46


@pytest.mark.parametrize(("models", "domains"), [(["mine"], ["talk", "sung"]), (["w2v2"], None)])
def test_what_is_not_in_the_run_or_not_legible_has_no_number(models, domains):
    found = paper.beside(*tables(models), domains)
    assert found["ours"].isna().all() and set(found["inside"]) == {""}
    lost = found[found["note"] == "not legible"]
    assert list(lost[lost["table"] == "III"]["encoder"]) == ["hubert", "hubert"]
    assert len(lost[lost["table"] == "II"]) == 9 and not (lost["table"] == "I").any()
    misprints = found[found["note"].str.contains("misprint")]
    assert sorted(misprints["paper"]) == [61.85, 72.77]
