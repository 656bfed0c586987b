# syntax=docker/dockerfile:1
# Three targets: `serve` (the default, without TensorFlow), `train`, and `scale` for the nodes of a Ray cluster.
#   docker build -t digits .                                   (or with --build-arg EXTRAS="--extra grpc")
#   docker build -t digits-train --target train .
#   docker build -t digits-scale --target scale .

# Give a release the digest of its base image: docs/how-to/docker.md#publish-an-image.
ARG BASE=python:3.13-slim
FROM ${BASE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/srv/digits/.venv/bin:$PATH
WORKDIR /srv/digits

# Install the locked packages, checked by hash. The stages below copy only .venv, so that the images do not contain uv.
FROM base AS packages
COPY pyproject.toml uv.lock uv.txt ./
RUN pip install --no-cache-dir --quiet --require-hashes --requirement uv.txt
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
ARG EXTRAS=
# Delete what serving never loads, a fifth of the packages' size: their own tests, ONNX Runtime's tools, its library for
# programs in C (`onnxruntime_pybind11_state` contains the same code again), and uvloop's symbols for debuggers.
RUN apt-get -qq update && apt-get -qq install --no-install-recommends binutils >/dev/null \
 && uv sync --quiet --frozen --no-cache --no-default-groups --no-install-project $EXTRAS \
 && find .venv -type d -name tests -prune -exec rm -r {} + \
 && cd .venv/lib/python3.13/site-packages \
 && strip uvloop/*.so \
 && cd onnxruntime && rm -r backend datasets quantization tools transformers capi/libonnxruntime.so.*

FROM packages AS train-packages
RUN uv sync --quiet --frozen --no-cache --no-default-groups --no-install-project --extra train

FROM packages AS scale-packages
RUN uv sync --quiet --frozen --no-cache --no-default-groups --no-install-project --extra scale

FROM base AS runtime
# Create /models with its owner, so that the user can write to a new volume that is mounted there. Clusters that choose the
# user id, such as OpenShift, choose the group 0. Delete programs that run with the rights of their owner, and pip.
RUN useradd --system --uid 10001 --home-dir /srv/digits --shell /usr/sbin/nologin digits \
 && install -d -o digits -g 0 -m 775 /models \
 && find / -xdev -type f -perm /6000 -delete \
 && rm -r /usr/local/bin/pip* /usr/local/lib/python3.*/ensurepip /usr/local/lib/python3.*/site-packages/pip*
COPY LICENSE ./
COPY digits digits
COPY models models
ENV MNIST_MODEL_DIR=/models
USER 10001:10001
ARG BASE VERSION=0.4.0 REVISION=
LABEL org.opencontainers.image.title="Digits" \
      org.opencontainers.image.description="Handwritten digits over HTTP and gRPC" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$BASE"

FROM runtime AS train
COPY --from=train-packages /srv/digits/.venv .venv
COPY training training
# Folders for Keras' downloads and Matplotlib's font cache.
ENV KERAS_HOME=/tmp/keras MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["python", "-m", "training"]
CMD ["train"]

FROM runtime AS scale
COPY --from=scale-packages /srv/digits/.venv .venv
COPY --chmod=755 <<'SH' /usr/local/bin/digits
#!/bin/sh
exec python -m cli "$@"
SH
COPY app app
COPY cli cli
COPY deploy deploy
# Ray starts processes in other folders. PYTHONPATH lets them find the packages above.
ENV PYTHONPATH=/srv/digits MNIST_HOST=0.0.0.0 RAY_USAGE_STATS_ENABLED=0 \
    RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_THROUGHPUT_OPTIMIZED=1 RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S=5 \
    RAY_SERVE_HAPROXY_RETRY_ON="conn-failure empty-response" RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S=30 \
    RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S=2
EXPOSE 8000
CMD ["python", "-m", "deploy.ray.local"]

FROM runtime AS serve
COPY --from=packages /srv/digits/.venv .venv
COPY app app
# `python -m training` prints this line here instead of a traceback.
COPY <<'PY' training/__main__.py
import sys
sys.exit("digits: this image serves only; training is in the target `train`: docker build --target train .")
PY
# Compile only the modules that serving imports. A few megabytes of bytecode halve the time to the first answer.
USER root
RUN PYTHONDONTWRITEBYTECODE= python -c 'import app.main, app.healthcheck'
USER 10001:10001
# When told to stop, the service is unready for 5 s first, so that load balancers send new requests elsewhere.
ENV MNIST_HOST=0.0.0.0 MNIST_DRAIN_SECONDS=5
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-m", "app.healthcheck"]
CMD ["python", "-m", "app"]
