# Every image of the deployment; `make images` builds them with podman or docker.
#   --target system                                        the daemon and the webserver
#   --target code-location --build-arg LOCATION=<folder>   a folder of code_locations/: its code server and its runs
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG LOCATION=""
# The folder with the coordinator's source, or with its wheel.
ARG COORDINATOR=coordinator

# The build stages are thrown away; an image takes from them only what they installed.
# A pip.conf and a uv.toml that name another package index may be given as secrets, which leave no trace.
FROM ${BASE} AS tools
ENV UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON=/opt/venv/bin/python
COPY requirements/build.txt /build/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python -m venv /opt/tools \
    && /opt/tools/bin/pip install --no-cache-dir --require-hashes --requirement /build/build.txt
# The environment of the images, at the path that it has there; without pip.
RUN python -m venv --without-pip /opt/venv

# A member of the workspace is installed under a prefix of its own, which is copied over the environment later: its
# layer holds nothing else. It is built with the locked tools alone.
FROM tools AS coordinator
ARG COORDINATOR
COPY ${COORDINATOR} /build/member
RUN { ls /build/member/*.whl || echo /build/member; } 2>/dev/null \
    | xargs /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheels \
    && /opt/tools/bin/uv pip install --no-deps --prefix /opt/member /build/wheels/*.whl

FROM tools AS deploy-tools
COPY tools /build/member
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheels /build/member \
    && /opt/tools/bin/uv pip install --no-deps --prefix /opt/member /build/wheels/*.whl

FROM tools AS location
ARG LOCATION
COPY code_locations/${LOCATION} /build/member
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheels /build/member \
    && /opt/tools/bin/uv pip install --no-deps --prefix /opt/member /build/wheels/*.whl

FROM tools AS system-packages
COPY requirements/system.txt /build/requirements.txt
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    /opt/tools/bin/uv pip install --require-hashes --requirement /build/requirements.txt && rm -f /opt/venv/.lock

# Without the comments, which name the code location: those that need the same packages share the layer that holds them.
FROM tools AS location-requirements
ARG LOCATION
COPY code_locations/${LOCATION}/requirements.txt /build/commented.txt
RUN grep --invert-match '^ *#' /build/commented.txt > /build/requirements.txt

FROM tools AS location-packages
COPY --from=location-requirements /build/requirements.txt /build/requirements.txt
RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \
    /opt/tools/bin/uv pip install --require-hashes --requirement /build/requirements.txt && rm -f /opt/venv/.lock

# What both kinds of image share. The user is a number, so that Kubernetes can see that it isn't root (runAsNonRoot).
FROM ${BASE} AS runtime
RUN useradd --uid 1000 --home-dir /opt/dagster --no-create-home --shell /usr/sbin/nologin dagster \
    && install --directory --owner 1000 --group 1000 /opt/dagster /opt/dagster/dagster_home
# Everything is compiled already, and a user who can't write there would try again at each start.
ENV PATH=/opt/venv/bin:$PATH DAGSTER_HOME=/opt/dagster/dagster_home PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/dagster
USER 1000:1000

# What changes most comes last.
FROM runtime AS system
COPY --from=system-packages /opt/venv /opt/venv
COPY --from=deploy-tools /opt/member /opt/venv
COPY --from=coordinator /opt/member /opt/venv

FROM runtime AS code-location
COPY --from=location-packages /opt/venv /opt/venv
COPY --from=coordinator /opt/member /opt/venv
COPY --from=location /opt/member /opt/venv
