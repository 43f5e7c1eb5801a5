from pathlib import Path

from speechsong.encoders.hub import fetch_encoder
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    model = snakemake.params.encoder
    encoder = snakemake.config["encoders"][model]
    folder = Path(snakemake.output[0]).parent
    fetch_encoder(encoder["checkpoint"], encoder["revision"], folder, f"encoders.{model}.checkpoint")
