# A stand-in for the official Envoy image, made by deploy/containers/build.sh; its context is the binary.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY envoy /usr/local/bin/envoy
USER 101:101
