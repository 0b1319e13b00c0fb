# A stand-in for the official Node image, made by deploy/containers/build.sh; its context is Node with npm.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY bin /usr/local/bin
COPY lib /usr/local/lib
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
