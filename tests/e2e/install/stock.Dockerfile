# An image as a deployment has it that never heard of the coordinator: the same image without the package.
ARG IMAGE
FROM ${IMAGE}
USER 0:0
RUN rm -rf /opt/venv/bin/dagster-clt /opt/venv/lib/python3*/site-packages/*clt_queued_run_coordinator*
USER 1000:1000
