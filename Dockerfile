# One image for the code location, the webserver, the daemon and the workers.
FROM python:3.11.14-slim-bookworm AS packages
COPY deploy/requirements.lock /tmp/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.lock

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin ecommerce \
    && mkdir -p /opt/dagster /var/lib/ecommerce/lake /var/lib/ecommerce/reports \
    && chown -R ecommerce /opt/dagster /var/lib/ecommerce
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY . .
RUN /opt/venv/bin/python -m compileall -q . \
    && cp deploy/dagster.yaml /opt/dagster/ \
    && install -m 755 deploy/ecommerce /usr/local/bin/ecommerce
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 \
    DAGSTER_HOME=/opt/dagster ECOMMERCE_HOME=/var/lib/ecommerce
USER 10001
CMD ["dagster", "api", "grpc", "--host", "0.0.0.0", "--port", "4000", "--module-name", "ecommerce_dagster.definitions"]
