"""Pre-train the embedded encoders again, for `make pretrain`: voices, training, and what goes into the package."""

import csv
import subprocess
import sys
from pathlib import Path

import yaml
from safetensors.torch import load_file, save

from speechsong import files
from speechsong.demo import encoders, voices
from speechsong.encoders.saving import write
from speechsong.pretraining.clips import hold_out
from speechsong.pretraining.settings import Settings

CONFIG = Path(__file__).with_name("pretrain.yaml")
CARD = """\
---
license: mit
library_name: transformers
pipeline_tag: feature-extraction
---

# {name}

An encoder in the layout of {layout}, with {parameters:,} parameters, pre-trained by speechsong on {minutes} minutes
of synthetic voices ({domain}) of {actors} speakers, {held_out} of whom only validate. None of them is in speechsong's
demo. It knows no real voice: use it to try things out, and to test.

| | |
|---|---|
| recipe | masked prediction of {clusters} k-means clusters of log-mel frames with their slopes (Hsu et al. 2021) |
| size | width {width}, {blocks} blocks |
| training | {steps} steps of {batch_size} crops of {seconds:g} s, AdamW, at most {learning_rate:g}, seed {seed} |
| time | {took:.0f} s of one core |
| masked accuracy | {accuracy:.1f} % for held-out speakers; the most frequent cluster has {frequent:.1f} % |
| masked loss | {loss:.2f} nats for held-out speakers |
| weights | float16 |
| licence | MIT, as speechsong; the voices are speechsong's own too |

`curve.csv` has the whole curve. `make pretrain` trains it again; on another machine the weights differ in their last
digits.
"""


def keep(source: Path, name: str, settings: dict, seconds: float) -> Path:
    """Put an encoder that was pre-trained into the package, as float16 and with a card; return its folder there."""
    weights = load_file(source / "model.safetensors")
    made = Settings(**settings)
    last = files.read_rows(source / "curve.csv")[-1]
    domain = made.domains[0].removeprefix("voices-")
    recordings = voices.recordings(domain, voices.OTHER_ACTORS)
    samples = sum(len(voices.synthesise(name)) for name in recordings)
    card = CARD.format(
        name=name,
        layout={"wav2vec2": "wav2vec 2.0", "hubert": "HuBERT", "mert": "MERT"}[made.layout],
        parameters=sum(value.numel() for value in weights.values()),
        minutes=round(samples / voices.SAMPLE_RATE / 60),
        domain=domain,
        actors=len(voices.OTHER_ACTORS),
        held_out=len(hold_out({Path(name).parent.name for name in recordings}, made.seed)),
        took=seconds,
        accuracy=100 * float(last["held_out_accuracy"]),
        frequent=100 * float(last["most_frequent"]),
        loss=float(last["held_out_loss"]),
        **{key: value for key, value in vars(made).items() if key not in ("domains", "layout")},
    )
    contents = {
        "model.safetensors": save({key: value.half() for key, value in weights.items()}, metadata={"format": "pt"}),
        "README.md": card.encode(),
    } | {file: (source / file).read_bytes() for file in ("curve.csv", "preprocessor_config.json", "config.json")}
    folder = encoders.FOLDER / name
    write(folder, contents)
    return folder


config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
for channel, corpus in zip(voices.CHANNELS, config["corpora"].values(), strict=True):
    voices.write_voices(corpus["root"], channel, voices.OTHER_ACTORS)
    # the reader of RAVDESS knows 24 actors
    names = voices.recordings(channel, voices.OTHER_ACTORS)
    rows = [{"path": name, "emotion": "any", "speaker": Path(name).parent.name} for name in names]
    files.write_rows(corpus["table"], rows, seal=False)

results = Path(config["results"])
targets = [str(results / "encoders" / model / "config.json") for model in config["models"]]
snakemake = [str(Path(sys.executable).with_name("snakemake")), *targets, "--cores", *sys.argv[1:2]]
if subprocess.call([*snakemake, "--configfile", str(CONFIG)]) != 0:
    sys.exit("The pre-training stopped for the reason above; run the same command again to go on")
for model in config["models"]:
    with (results / f"benchmarks/encoders/{model}/pretrain.tsv").open(encoding="utf-8") as file:
        seconds = float(next(csv.DictReader(file, delimiter="\t"))["cpu_time"])
    print(f"{model}: {keep(results / 'encoders' / model, model, config['encoders'][model]['pretrain'], seconds)}")
