# Moto's server: an S3 whose objects are in its memory.
ARG BASE
FROM ${BASE}
RUN pip install --no-cache-dir "moto[s3,server]>=5,<6"
USER 1000:1000
ENTRYPOINT ["moto_server", "--host", "0.0.0.0", "--port", "9000"]
