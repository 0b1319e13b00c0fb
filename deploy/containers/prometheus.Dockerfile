# A stand-in for the official Prometheus image, made by deploy/containers/build.sh; its context is the binaries.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY prometheus promtool /usr/local/bin/
RUN mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
