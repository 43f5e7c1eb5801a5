from speechsong.corpora.zenodo import fetch_ravdess, mirrored
from speechsong.logs import reporting

with reporting(snakemake.log[0]):
    corpora = snakemake.params.corpora
    for root in sorted({corpus["root"] for corpus in corpora.values()}):
        here = {domain: corpus for domain, corpus in corpora.items() if corpus["root"] == root}
        archives = {corpus["channel"]: mirrored(corpus["channel"], corpus.get("mirror")) for corpus in here.values()}
        fetch_ravdess(root, list(archives), [f"corpora.{domain}.root" for domain in here], archives)
