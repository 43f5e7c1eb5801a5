from speechsong import adapt, files

with files.reporting(snakemake.log[0]):
    inputs, params = snakemake.input, snakemake.params
    stage = adapt.stage(params.stage, inputs.split, inputs.get("start"), params.code)
    roles = {stage.target: inputs.get("target"), stage.source: inputs.source}
    domains = adapt.pooled_domains(stage, {domain: roles[domain] for domain in stage.domains})
    learner = adapt.linear_learner(stage, domains)
    adapt.run(stage, learner, domains, params.state, files.stamps(inputs), dict(snakemake.output.items()))
