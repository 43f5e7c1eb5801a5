from speechsong.evaluation import summaries
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    found = summaries.best_and_worst(tables.read(inputs))
    best = ("best", "worst", "mean", "selected", "selected_uar")
    tables.write(
        found,
        outputs.csv,
        outputs.markdown,
        params.notice,
        latex=outputs.latex,
        best=best,
        within=("domain", "protocol"),
    )
