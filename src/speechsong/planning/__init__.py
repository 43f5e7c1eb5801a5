"""Planning: what the Snakefile asks when it is read.

Read `config` first, then `plan`. `fingerprint` tells when code changed; `costs` tells what training costs."""
