from speechsong.corpora.recordings import being_filled
from speechsong.demo.voices import write_voices
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    for corpus in snakemake.params.corpora.values():
        with being_filled(corpus["root"]):
            write_voices(corpus["root"], corpus["channel"])
