from speechsong import files
from speechsong.evaluation import predictions, scores
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    inputs, emotions = snakemake.input, snakemake.params.emotions
    clips = dict(zip(snakemake.params.domains, inputs.clips, strict=True))
    answers = predictions.read(inputs.predictions, clips, inputs.probes)
    files.write_rows(snakemake.output.metrics, scores.measure(answers, emotions))
    files.write_rows(snakemake.output.confusion, scores.confusion(answers, emotions))
