from speechsong.corpora.zenodo import fetch_ravdess
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    corpora = snakemake.params.corpora
    for root in sorted({corpus["root"] for corpus in corpora.values()}):
        here = {domain: corpus for domain, corpus in corpora.items() if corpus["root"] == root}
        channels = [corpus["channel"] for corpus in here.values()]
        fetch_ravdess(root, channels, [f"corpora.{domain}.root" for domain in here])
