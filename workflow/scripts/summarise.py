from speechsong.logs import reporting
from speechsong.report import page, works

with reporting(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    facts = page.corpora_facts(dict(zip(params.domains, inputs.clips, strict=True)))
    entries = [page.Entry(**entry) for entry in params.shown]
    texts = params.notice, params.template, params.style
    cited = works.works(inputs.corpora, inputs.encoders, params.approaches, params.pretrained)
    page.write(snakemake.output[0], params.title, facts | params.facts, entries, *texts, cited)
