from speechsong import evaluation, files

with files.reporting(snakemake.log[0]):
    inputs, emotions = snakemake.input, snakemake.params.emotions
    clips = dict(zip(snakemake.params.domains, inputs.clips, strict=True))
    predictions = evaluation.read(inputs.predictions, clips, inputs.probes)
    files.write_rows(snakemake.output.metrics, evaluation.measure(predictions, emotions))
    files.write_rows(snakemake.output.confusion, evaluation.confusion(predictions, emotions))
