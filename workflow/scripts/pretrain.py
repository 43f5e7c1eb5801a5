from pathlib import Path

import torch

from speechsong.corpora.readers import scan
from speechsong.encoders import devices
from speechsong.logs import reporting
from speechsong.pretraining.run import pretrain
from speechsong.pretraining.settings import Settings

with reporting(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, config = snakemake.params, snakemake.config
    settings = Settings(**params.settings)
    recordings = settings.keep([r for d in settings.domains for r in scan(d, config["corpora"][d])])
    device = devices.pick(config["device"])
    precision = devices.precision(device, params.precision)
    devices.report(device, precision, snakemake.resources)
    depends_on = [params.code, params.recordings, precision]
    folder = Path(snakemake.output.curve).parent
    pretrain(snakemake.wildcards.model, settings, recordings, device, precision, params.state, depends_on, folder)
