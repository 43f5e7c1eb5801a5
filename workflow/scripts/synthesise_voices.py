from speechsong import corpora, demo, files

with files.reporting(snakemake.log[0]):
    for corpus in snakemake.params.corpora.values():
        with corpora.being_filled(corpus["root"]):
            demo.write_voices(corpus["root"], corpus["channel"])
