# aml-serve as an image: `make image` builds and tests it, docs/operations.md tells how to choose and extend.
#
#   --target      full (the default) serves all kinds of models, slim serves ONNX models only
#   BASE_IMAGE    any with python3 >= 3.11 and its venv module
#   LOCK          another set than requirements.txt, as requirements-gpu.txt (full only)
#   EXTRAS        further libraries, comma-separated: accelerate, boosters, mlflow, opencensus,
#                 schema (inference-schema, for scripts that import it)
#   REQUIREMENTS  a file of one's own in the build context: pip's, or conda's (its pip section)
#   secrets       pip_conf, ca_bundle: how this network reaches a package index; both may be missing
ARG BASE_IMAGE=python:3.12-slim
ARG LOCK=requirements.txt
ARG EXTRAS=
ARG REQUIREMENTS=


FROM ${BASE_IMAGE} AS tools
# What is served from has no pip: this one, which stays behind, installs into it.
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/aml-serve
WORKDIR /src
COPY image ./image
# Sets are written in the order of their hashes, and with these they are the same each time.
ENV PYTHONHASHSEED=0 PIP_DISABLE_PIP_VERSION_CHECK=1


FROM tools AS slim-packages
ARG EXTRAS
ARG REQUIREMENTS
COPY requirements*.txt ${REQUIREMENTS} ./
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/root/.cache/pip \
    sh image/install.sh requirements-slim.txt "${EXTRAS}" "${REQUIREMENTS}"


FROM tools AS full-packages
ARG LOCK
ARG EXTRAS
ARG REQUIREMENTS
COPY requirements*.txt ${REQUIREMENTS} ./
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/root/.cache/pip \
    sh image/install.sh "${LOCK}" "${EXTRAS}" "${REQUIREMENTS}"


# A layer of its own: a newer version of the service leaves the libraries where they are.
FROM tools AS service
COPY requirements-build.txt ./
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/root/.cache/pip \
    sh image/pip.sh /tools/bin/python install --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY app ./app
RUN sh image/service.sh /out


FROM ${BASE_IMAGE} AS runtime
ENV PATH=/opt/aml-serve/bin:$PATH \
    # Empty, unless an extra needs what the base lacks.
    LD_LIBRARY_PATH=/opt/aml-serve/native \
    # Its cache folders are below; a user without an entry in /etc/passwd has no home.
    HOME=/tmp \
    # onnxruntime 1.29 and later would write a database and look a host up.
    ORT_DISABLE_TELEMETRY=1 \
    SERVE_CACHE_DIR=/var/cache/aml-serve
# Group 0 too: some clusters choose any user, of that group.
RUN install --directory --owner=10001 --group=0 --mode=0770 /var/cache/aml-serve
VOLUME /var/cache/aml-serve
WORKDIR /opt/aml-serve
EXPOSE 5001
# Process 1 is not told of a signal that it neither awaits nor holds back, as Python does not while it starts.
ENTRYPOINT ["env", "--block-signal=TERM,INT", "aml-serve"]
CMD ["serve"]
# No default registry: without SERVE_REGISTRY it says what to set, and ends with 2.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-m", "app.web.alive"]
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="aml-serve" \
      org.opencontainers.image.description="Serves scikit-learn and ONNX models by name" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"


FROM runtime AS slim
COPY --from=slim-packages /opt/aml-serve /opt/aml-serve
COPY --from=service /out /opt/aml-serve
# Some bases have no bytecode of the standard library: what the service imports of it gets some.
RUN ["python", "-c", "import app.cli, app.main, app.runtimes.onnx"]
USER 10001


FROM runtime AS full
COPY --from=full-packages /opt/aml-serve /opt/aml-serve
COPY --from=service /out /opt/aml-serve
RUN ["python", "-c", "import app.cli, app.main, app.runtimes.onnx, app.runtimes.sklearn.model"]
USER 10001
