from snakemake.utils import min_version

min_version("9.10")


configfile: f"{workflow.basedir}/config.yaml"


include: "rules/common.smk"
include: "rules/corpora.smk"
include: "rules/embeddings.smk"
include: "rules/probe.smk"
include: "rules/fad.smk"
include: "rules/adapt.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        rules.figures.input,
        rules.tables.input,
        rules.summarise.output,
