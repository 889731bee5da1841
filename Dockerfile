# The engine as an image, for `wfe api`, `wfe worker` and the rest of the command line: docs/deploying.md.
#
#   docker build -t wfe .        or        podman build -t wfe .
#
# PYTHON is any image with Python 3.11 or newer that has `venv`, the same for both stages.
ARG PYTHON=docker.io/library/python:3.11-slim

FROM ${PYTHON} AS build
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/wfe \
 && /opt/wfe/bin/pip install --no-cache-dir -c constraints.txt '.[brokers,s3,postgresql,telemetry]'

FROM ${PYTHON}
COPY --from=build /opt/wfe /opt/wfe
RUN mkdir -p /var/lib/wfe && chown 10001:10001 /var/lib/wfe
ENV PATH=/opt/wfe/bin:$PATH PYTHONUNBUFFERED=1 WFE_DATA=/var/lib/wfe
USER 10001:10001
WORKDIR /var/lib/wfe
VOLUME /var/lib/wfe
EXPOSE 8080
ENTRYPOINT ["wfe"]
CMD ["--help"]
