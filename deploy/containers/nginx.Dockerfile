# A stand-in for the official nginx image, made by deploy/containers/build.sh; its context is the binary.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY nginx /usr/sbin/nginx
RUN mkdir /etc/nginx
USER 101:101
