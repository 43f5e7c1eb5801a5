from speechsong import files
from speechsong.distances import nearest
from speechsong.logs import reporting
from speechsong.report import tables

with reporting(snakemake.log[0]):
    fads, left_out = tables.read(snakemake.input.fad), tables.read([snakemake.input.left_out])
    found = nearest.estimates(fads, left_out, snakemake.params.domains)
    files.write_rows(snakemake.output[0], tables.records(found))
