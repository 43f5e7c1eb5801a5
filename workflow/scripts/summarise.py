from speechsong import files, summary

with files.reporting(snakemake.log[0]):
    params = snakemake.params
    facts = summary.corpora_facts(dict(zip(params.domains, snakemake.input.clips, strict=True)))
    entries = [summary.Entry(**entry) for entry in params.shown]
    summary.write(snakemake.output[0], params.title, facts | params.facts, entries, params.notice, params.style)
