from speechsong.evaluation import summaries
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    found = summaries.two_stages(tables.read(inputs))
    best = ("stage_one", "stage_two", "direct", "equal_budget", "source_after")
    tables.write(
        found,
        outputs.csv,
        outputs.markdown,
        params.notice,
        latex=outputs.latex,
        best=best,
        within=("protocol", "source", "target"),
    )
