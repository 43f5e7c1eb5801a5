from snakemake.utils import min_version

min_version("9.12")


configfile: f"{workflow.current_basedir}/config.yaml"


include: "rules/common.smk"
include: "rules/resources.smk"
include: "rules/corpora.smk"
include: "rules/encoders.smk"
include: "rules/pretraining.smk"
include: "rules/embeddings.smk"
include: "rules/probes.smk"
include: "rules/distances.smk"
include: "rules/adaptation.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        rules.figures.input,
        rules.tables.input,
        rules.summarise.output,
    localrule: True
