from speechsong.evaluation import summaries, transfer
from speechsong.logs import reporting
from speechsong.report import tables

# by name: the function that makes the table, the columns whose best value is bold, and the columns whose values the
# compared rows share
TABLES = {
    "probe": (
        summaries.best_and_worst,
        ("best", "worst", "mean", "selected", "selected_uar"),
        ("domain", "protocol", "fit"),
    ),
    "adapt": (
        summaries.two_stages,
        ("stage_one", "stage_two", "direct", "equal_budget", "joint", "source_after"),
        ("protocol", "source", "target"),
    ),
    "transfer": (transfer.summary, ("within", "across"), ("approach", "fit", "protocol", "source", "over")),
    **dict.fromkeys(("kad", "similarity", "strata", "speakers"), (lambda rows: rows, (), ())),
}

with reporting(snakemake.log[0]):
    make, best, within = TABLES[snakemake.params.table]
    tables.write(make(tables.read(snakemake.input)), snakemake.output, snakemake.params.notice, best, within)
