# PgBouncer from Debian's package, for the tests; deploy/overlays/pgbouncer/manifests names the images to use elsewhere.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends pgbouncer \
    && rm -rf /var/lib/apt/lists/*
USER 1000:1000
ENTRYPOINT ["pgbouncer"]
