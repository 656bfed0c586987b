# syntax=docker/dockerfile:1
# Three targets: `serve` (the default, without TensorFlow), `train`, and `scale` for the nodes of a Ray cluster.
#   docker build -t digits .
#   docker build -t digits-train --target train .
#   docker build -t digits-scale --target scale .

FROM python:3.13-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/srv/digits/.venv/bin:$PATH
WORKDIR /srv/digits

# Packages by hash from the lock file, into a folder that the stages below copy: neither uv nor pip is in the image.
FROM base AS packages
COPY pyproject.toml uv.lock ./
RUN pip install --no-cache-dir --quiet uv==0.13.9
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
# The packages' own tests are a tenth of what they weigh.
RUN uv sync --quiet --frozen --no-cache --no-default-groups \
 && find .venv -type d -name tests -prune -exec rm -r {} +

FROM packages AS train-packages
RUN uv sync --quiet --frozen --no-cache --no-default-groups --extra train

FROM packages AS scale-packages
RUN uv sync --quiet --frozen --no-cache --no-default-groups --extra scale

FROM base AS room
# Made here with its owner, so that a fresh volume mounted on it can be written by the user.
RUN useradd --system --uid 10001 --home-dir /srv/digits --shell /usr/sbin/nologin digits \
 && install -d -o digits -g digits /models
COPY LICENSE ./
COPY digits digits
COPY models models
ENV MNIST_MODEL_DIR=/models
USER 10001:10001

FROM room AS train
COPY --from=train-packages /srv/digits/.venv .venv
COPY training training
# Keras keeps its downloads, matplotlib its font cache below these.
ENV KERAS_HOME=/tmp/keras MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["python", "-m", "training"]
CMD ["train"]

FROM room AS scale
COPY --from=scale-packages /srv/digits/.venv .venv
COPY app app
COPY deploy deploy
# Ray starts processes in other folders, which must find the packages above.
ENV PYTHONPATH=/srv/digits MNIST_HOST=0.0.0.0 RAY_USAGE_STATS_ENABLED=0 \
    RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_THROUGHPUT_OPTIMIZED=1 RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S=5 \
    RAY_SERVE_HAPROXY_RETRY_ON="conn-failure empty-response" RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S=30
EXPOSE 8000
CMD ["python", "-m", "deploy.ray.local"]

FROM room AS serve
COPY --from=packages /srv/digits/.venv .venv
COPY app app
# One line for who looks for training here, instead of a traceback.
COPY <<'PY' training/__main__.py
import sys
sys.exit("digits: this image serves only; training is in the target `train`: docker build --target train .")
PY
# Bytecode of just what serving imports: half the time to the first answer, for a few megabytes.
USER root
RUN PYTHONDONTWRITEBYTECODE= python -c 'import app.main, app.healthcheck'
USER 10001:10001
# Unready for 5 s before it stops, in which a load balancer looks elsewhere.
ENV MNIST_HOST=0.0.0.0 MNIST_DRAIN_SECONDS=5
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --start-interval=1s --retries=3 \
    CMD ["python", "-m", "app.healthcheck"]
CMD ["python", "-m", "app"]
