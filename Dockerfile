# One image for web, relay, worker and the simulator: the command decides.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
COPY requirements/base.txt /tmp/base.txt
RUN /venv/bin/pip install --require-hashes -r /tmp/base.txt
WORKDIR /app
COPY manage.py ./
COPY comfysaas comfysaas
COPY accounts accounts
COPY generations generations
COPY static static
RUN /venv/bin/python manage.py collectstatic --noinput \
 && /venv/bin/python -m compileall -q comfysaas accounts generations

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data HOST=0.0.0.0
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin comfysaas && install -d -o comfysaas /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER comfysaas
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["daphne", "--bind", "0.0.0.0", "--port", "8000", "comfysaas.asgi:application"]
