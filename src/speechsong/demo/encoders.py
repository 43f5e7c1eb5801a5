"""The embedded encoders: small ones that this project pre-trained on synthetic voices, for the demo.

`make pretrain` makes them again. Their weights are kept as float16 and used as float32.
"""

from __future__ import annotations

from pathlib import Path

from speechsong.encoders.saving import write

FOLDER = Path(__file__).with_name("pretrained")
_WEIGHTS = "model.safetensors"
_AS_THEY_ARE = ("preprocessor_config.json", "config.json")


def names() -> list[str]:
    """List the embedded encoders."""
    return sorted(folder.name for folder in FOLDER.iterdir() if (folder / "config.json").is_file())


def unpack(name: str, folder: str | Path) -> None:
    """Write an embedded encoder as an ordinary local checkpoint in float32; config.json comes last.

    Parameters
    ----------
    name
        One of `names`.
    folder
        The folder of the checkpoint.
    """
    from safetensors.torch import load_file
    from safetensors.torch import save as to_bytes

    weights = {key: value.float() for key, value in load_file(FOLDER / name / _WEIGHTS).items()}
    contents = {_WEIGHTS: to_bytes(weights, metadata={"format": "pt"})}
    contents |= {file: (FOLDER / name / file).read_bytes() for file in _AS_THEY_ARE}
    write(folder, contents)
