from pathlib import Path

from speechsong.demo import encoders
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    folder = Path(snakemake.wildcards.folder)
    encoders.unpack(folder.name, folder)
