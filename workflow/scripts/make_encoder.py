from pathlib import Path

from speechsong import demo, files

with files.reporting(snakemake.log[0]):
    folder = Path(snakemake.wildcards.folder)
    demo.write_encoder(folder, folder.name)
