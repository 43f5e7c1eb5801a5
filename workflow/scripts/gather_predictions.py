from speechsong import files
from speechsong.evaluation import predictions
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    inputs = snakemake.input
    clips = dict(zip(snakemake.params.domains, inputs.clips, strict=True))
    table = predictions.gather(inputs.predictions, clips, inputs.probes)
    with files.sealed(snakemake.output[0]) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
