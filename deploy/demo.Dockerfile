# The demo's fake Stripe and shop. Not for production. For private package indexes, see deploy/Dockerfile.
ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE}
ENV PIP_CONFIG_FILE=/run/secrets/pip_conf PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /demo
COPY demo/requirements.txt demo/
RUN --mount=type=secret,id=pip_conf --mount=type=secret,id=ca \
    useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin clozit && python -m venv --without-pip /app && \
    python -m pip --python /app/bin/python install --quiet --no-cache-dir --require-hashes --only-binary :all: \
    -r demo/requirements.txt
COPY LICENSE ./
COPY deploy/catalog.json deploy/
COPY demo demo
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Clozit Payments: the demo" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/app/bin:$PATH
USER 10001:10001
ENTRYPOINT ["python", "-m"]
