# An image of the deployment with dagster-aws, at the version that fits its Dagster, and with a job that prints.
ARG IMAGE
FROM ${IMAGE}
USER 0:0
RUN pip --python /opt/venv/bin/python install --no-cache-dir \
    "dagster-aws==$(/opt/venv/bin/python -c 'from importlib.metadata import version; print(version("dagster-k8s"))')"
COPY printing.py /opt/printing/printing.py
ENV PYTHONPATH=/opt/printing
USER 1000:1000
