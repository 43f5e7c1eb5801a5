from pathlib import Path

from speechsong.demo.encoders import write_encoder
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    folder = Path(snakemake.wildcards.folder)
    write_encoder(folder, folder.name)
