from speechsong.logs import reporting
from speechsong.report import page

with reporting(snakemake.log[0]):
    params = snakemake.params
    facts = page.corpora_facts(dict(zip(params.domains, snakemake.input.clips, strict=True)))
    entries = [page.Entry(**entry) for entry in params.shown]
    texts = params.notice, params.template, params.style
    page.write(snakemake.output[0], params.title, facts | params.facts, entries, *texts)
