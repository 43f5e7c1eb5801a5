from pathlib import Path

from speechsong import fetch, files

with files.reporting(snakemake.log[0]):
    model = snakemake.params.encoder
    encoder = snakemake.config["encoders"][model]
    folder = Path(snakemake.output[0]).parent
    fetch.fetch_encoder(encoder["checkpoint"], encoder["revision"], folder, f"encoders.{model}.checkpoint")
