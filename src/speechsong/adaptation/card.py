"""The model card of an exported LoRA: README.md with the front matter that model hubs read.

What the card says comes from the checkpoint's description, and from the tables of its run if they are there. What is
not known is left out, or said to be unknown.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from speechsong import files
from speechsong.adaptation.checkpoints import is_random
from speechsong.encoders.families import FAMILIES
from speechsong.errors import UserError

# licences of pretrained weights, as their publishers state them, by a pattern of hub names
_LICENCES = {
    r"facebook/wav2vec2-base-960h": "apache-2.0",
    r"facebook/hubert-base-ls960": "apache-2.0",
    r"m-a-p/MERT-v1-95M": "cc-by-nc-4.0",
    r"openai/whisper-[a-z0-9.-]+": "mit",
}
# licences of corpora, all of which hold for what is trained on them; the encoders' above permit that
_CORPORA = {"RAVDESS": "cc-by-nc-sa-4.0"}
_METRICS = {"accuracy": ("accuracy", "accuracy"), "uar": ("recall", "unweighted average recall")}
_AGAIN = "delete it and run `snakemake` again"
START = "---\nlibrary_name: peft\n"


@dataclass(frozen=True)
class Score:
    """A metric of the setting that a checkpoint belongs to, on the test part of a domain: values from 0 to 1."""

    domain: str
    metric: str
    value: float
    low: float
    high: float
    speakers: int
    seeds: int


def compose(checkpoint: str | Path, description: dict) -> str:
    """Compose the card of a checkpoint.

    Parameters
    ----------
    checkpoint
        The checkpoint. If it is where the workflow put it, the tables of its run give metrics and corpora.
    description
        Its description.

    Raises
    ------
    UserError
        If the description or a table of the run cannot be read.
    """
    for key in ("source", "target", "protocol"):
        if not isinstance(description.get(key), str | None):
            raise UserError(f"{checkpoint}: {key} cannot be {description[key]!r}; let `snakemake` train it again")
    results = _results(Path(checkpoint), description)
    return card(description, _corpora(results, description), _scores(results, description))


def card(description: dict, corpora: dict[str, str], scores: list[Score]) -> str:
    """Compose the card.

    Parameters
    ----------
    description
        Of a checkpoint with LoRA.
    corpora
        The corpus of every domain that it was trained on; "" if it is not known.
    scores
        May be empty.
    """
    front = front_matter(description, corpora, scores)
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=120).rstrip(),
        "---",
        "",
        f"# {_title(description)}",
        "",
        f"LoRA for {_encoder(description)}, trained by speechsong to tell emotions "
        f"apart: {', '.join(description['emotions'])}.",
        "",
        f"- Training: {_trained_on(description, corpora)}; approach `{description['approach']}`.",
        f"- Split: `{description.get('protocol', 'unknown')}`, seed {description.get('seed', 'unknown')}.",
        "- The head and whatever else was trained beside LoRA are not in this folder, so that it does not classify by "
        "itself: train a head on its hidden states.",
        "",
        "## Load it",
        "",
        *_loading(description),
        "",
        "## Results",
        "",
        *_results_in_words(description, scores),
        "",
        "## Licence",
        "",
        *_licence_in_words(description, corpora),
        "",
        "## Cite",
        "",
        "- Sun, Zhao, Richmond, Li (2024), Revisiting Acoustic Similarity in Emotional Speech and Music via "
        "Self-Supervised Representations. arXiv:2409.17899.",
        "- Hu et al. (2022), LoRA: Low-Rank Adaptation of Large Language Models. ICLR. arXiv:2106.09685.",
    ]
    if "RAVDESS" in corpora.values():
        lines.append(
            "- Livingstone, Russo (2018), The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS). "
            "PLOS ONE 13(5), e0196391. doi:10.1371/journal.pone.0196391."
        )
    return "\n".join(lines) + "\n"


def front_matter(description: dict, corpora: dict[str, str], scores: list[Score]) -> dict:
    """Make the front matter, in the order of its keys. The parameters are those of `card`."""
    front: dict = {"library_name": "peft"}
    if base := base_model(description):
        front |= {"base_model": base, "base_model_relation": "adapter"}
    licence = licence_of(description, corpora)
    front |= {"license": licence or "other"} | ({} if licence else {"license_name": "unknown"})
    front["pipeline_tag"] = "audio-classification"
    front["tags"] = ["speechsong", "lora", "emotion-recognition"]
    if known := sorted({corpus.lower() for corpus in corpora.values() if corpus}):
        front["datasets"] = known
    if scores:
        front["metrics"] = list(dict.fromkeys(_METRICS[score.metric][0] for score in scores))
        front["model-index"] = [{"name": _title(description), "results": _index(corpora, scores)}]
    return front


def _index(corpora: dict[str, str], scores: list[Score]) -> list[dict]:
    return [
        {
            "task": {"type": "audio-classification", "name": "emotion recognition"},
            "dataset": {
                "type": (corpora.get(domain) or domain).lower(),
                "name": f"{corpora[domain]}, {domain}" if corpora.get(domain) else domain,
                "split": "test",
            },
            "metrics": [
                {
                    "type": _METRICS[score.metric][0],
                    "value": round(score.value, 4),
                    "name": f"{_METRICS[score.metric][1]} {_interval(score)}",
                }
                for score in scores
                if score.domain == domain
            ],
        }
        for domain in dict.fromkeys(score.domain for score in scores)
    ]


def base_model(description: dict) -> str:
    """Return the encoder's name on the hub; "" if it is a local folder or has random weights."""
    encoder = description["encoder"]
    name = encoder["checkpoint"]
    on_hub = encoder["revision"] and re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).is_dir()
    return name if on_hub and not is_random(description) else ""


def licence_of(description: dict, corpora: dict[str, str]) -> str:
    """Return the licence that follows from the corpora and the encoder; "" if that of one of them is not known."""
    known = {_CORPORA.get(corpus, "") for corpus in corpora.values()}
    if not (is_random(description) or _licence_of_encoder(description)) or "" in known or len(known) != 1:
        return ""
    return known.pop()


def _licence_of_encoder(description: dict) -> str:
    name = base_model(description)
    return next((licence for pattern, licence in _LICENCES.items() if re.fullmatch(pattern, name)), "")


def _title(description: dict) -> str:
    name = Path(description["encoder"]["checkpoint"]).name
    trained = " then ".join(filter(None, (description.get("source"), description.get("target"))))
    return f"{name}, LoRA for emotions" + (f" in {trained}" if trained else "")


def _encoder(description: dict) -> str:
    name = base_model(description)
    if name:
        return f"[{name}](https://huggingface.co/{name}) at revision `{description['encoder']['revision']}`"
    folder = Path(description["encoder"]["checkpoint"]).name
    if is_random(description):
        return f"an encoder with random weights and the architecture of `{folder}`"
    return f"an encoder from a local folder, `{folder}`, whose weights have the digest `{description['weights']}`"


def _trained_on(description: dict, corpora: dict[str, str]) -> str:
    named = [f"{domain} ({corpus or 'corpus not known'})" for domain, corpus in corpora.items()]
    return (" then " if description.get("target") else " and ").join(named) or "not known"


def _loading(description: dict) -> list[str]:
    kind = FAMILIES[description["family"]]
    model, revision = f"{kind.prefix}Model", description["encoder"]["revision"]
    name = base_model(description)
    if name:
        base = f'{model}.from_pretrained("{name}", revision="{revision}")'
    elif is_random(description):
        from speechsong.encoders.loading import RANDOM_SEED

        base = f"...  # {model}(its config) after torch.manual_seed({RANDOM_SEED})"
    else:
        base = "...  # the encoder above"
    lines = [
        *("```python", "from peft import PeftModel", f"from transformers import {model}", ""),
        f"base = {base}",
        'model = PeftModel.from_pretrained(base, ".")  # this folder, or its name on the hub',
    ]
    if kind.reads_bare_weights:
        lines.append("model.merge_adapter()  # this model reads bare weights")
    return [*lines, "```"]


def _interval(score: Score) -> str:
    if math.isnan(score.low):
        return f"({score.seeds} {'seed' if score.seeds == 1 else 'seeds'}, no interval)"
    seeds = "" if score.seeds == 1 else f", {score.seeds} seeds"
    return f"[{100 * score.low:.1f}, {100 * score.high:.1f}] % (95 % interval over speakers{seeds})"


def _results_in_words(description: dict, scores: list[Score]) -> list[str]:
    if not scores:
        return ["The run has no metrics of this checkpoint."]
    seeds = scores[0].seeds
    lines = [
        "On the test part, with all that was trained, the head included. In brackets: 95 % intervals over speakers."
    ]
    if seeds > 1:
        lines += [f"The numbers are pooled over {seeds} trainings with other splits, of which this is one.", ""]
    else:
        lines.append("")
    lines += ["| domain | metric | % | speakers |", "|---|---|---:|---:|"]
    for score in scores:
        bounds = "" if math.isnan(score.low) else f" [{100 * score.low:.1f}, {100 * score.high:.1f}]"
        name = _METRICS[score.metric][1]
        lines.append(f"| {score.domain} | {name} | {100 * score.value:.1f}{bounds} | {score.speakers} |")
    if description.get("protocol") == "random":
        lines += ["", "The split is random over clips: the same people are in training and test."]
    return lines


def _licence_in_words(description: dict, corpora: dict[str, str]) -> list[str]:
    corpus = sorted({f"{c}: {_CORPORA[c]}" if c else "a corpus of an unknown licence" for c in corpora.values()})
    encoder = _licence_of_encoder(description) or ("none (random weights)" if is_random(description) else "not known")
    lines = [
        f"- Trained on: {'; '.join(corpus) or 'a corpus of an unknown licence'}.",
        f"- Encoder: {encoder}.",
    ]
    if not licence_of(description, corpora):
        lines += ["", "No licence follows from these. Whoever publishes this folder has to settle it."]
    return lines


def _results(checkpoint: Path, description: dict) -> Path | None:
    """The results folder of the run that made a checkpoint; None if the checkpoint was moved elsewhere."""
    parts = checkpoint.absolute().parts[-5:-2]
    if parts != ("checkpoints", description["model"], description["approach"]):
        return None
    return checkpoint.absolute().parents[4]


def _domains(description: dict) -> list[str]:
    """The domains that were trained on, in order; joint training has a + between them."""
    named = [*(description.get("source") or "").split("+"), description.get("target") or ""]
    return list(dict.fromkeys(filter(None, named)))


def _corpora(results: Path | None, description: dict) -> dict[str, str]:
    found = {}
    for domain in _domains(description):
        path = results and results / "corpora" / f"{domain}.csv"
        rows = files.read_rows(path) if path and path.is_file() else []
        corpus = rows[0].get("corpus", "") if rows else ""
        found[domain] = corpus if corpus in _CORPORA else ""
    return found


def _scores(results: Path | None, description: dict) -> list[Score]:
    path = results and results / "metrics" / description["model"] / "adapt.csv"
    if path is None or not path.is_file():
        return []
    keys = ("approach", "protocol", "source", "target")
    wanted = {key: description.get(key) or "" for key in keys}
    try:
        return [
            Score(
                domain=row["test_domain"],
                metric=row["metric"],
                value=float(row["value"]),
                low=float(row["low"] or "nan"),
                high=float(row["high"] or "nan"),
                speakers=int(row["speakers"]),
                seeds=int(row["seeds"]),
            )
            for row in files.read_rows(path)
            if row["metric"] in _METRICS and all(row[key] == value for key, value in wanted.items())
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {_AGAIN}") from error
