import pandas as pd

from speechsong import files
from speechsong.evaluation import predictions, strata
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    clips = pd.DataFrame([row for path in snakemake.input.clips for row in files.read_rows(path)])
    labelled = strata.label(predictions.read([snakemake.input.predictions]), clips)
    with files.sealed(snakemake.output.strata) as temporary:
        strata.strata(labelled, snakemake.params.attributes).to_csv(temporary, index=False, lineterminator="\n")
    files.write_rows(snakemake.output.speakers, strata.by_speaker(labelled))
