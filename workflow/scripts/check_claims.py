import pandas as pd

from speechsong.evaluation import claims, predictions
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    clips = dict(zip(params.domains, inputs.clips, strict=True))
    probed = predictions.read(inputs.predictions, clips, inputs.probes)
    found = [*claims.falls(probed, params.domains), *claims.specialists(probed, params.paper)]
    for fad, left_out in zip(inputs.fad, inputs.left_out, strict=True):
        found += claims.closeness(tables.read([fad]), tables.read([left_out]))
    found = pd.DataFrame(found + claims.helps(tables.read([inputs.comparisons])))
    if params.paper is None:
        # of other recordings or emotions it claimed nothing
        found["in_paper"] = "no"
    tables.write(found, outputs.csv, outputs.markdown, params.notice, latex=outputs.latex)
