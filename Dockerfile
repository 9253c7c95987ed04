# semcache serve, with packaged models: nothing is downloaded at run time. See compose.yaml and docs/server.md.
FROM python:3.13-slim

# Not root: nothing that it does needs that. It keeps ONNX graphs in its home.
RUN useradd --create-home --uid 10001 semcache

WORKDIR /build
COPY constraints.txt pyproject.toml hatch_build.py README.md LICENSE ./
COPY schemas schemas
COPY semcache semcache
# torch first, in its build for CPUs: the usual one brings several gigabytes of CUDA libraries.
RUN version="$(sed -n 's/^torch==//p' constraints.txt)" \
    && pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch==${version%%+*}" \
    && grep -v '^torch==' constraints.txt > /tmp/constraints.txt \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt '.[server,cli,onnx,offline,http,prometheus]' \
    && rm -rf /build /tmp/constraints.txt

WORKDIR /home/semcache
# By its number, since Kubernetes cannot tell of a name that it is not root (runAsNonRoot).
USER 10001

ENV SEMCACHE_SERVER__HOST=0.0.0.0
EXPOSE 8080
# Alive and ready: models take some seconds to load.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
# In the form of a list, so that SIGTERM reaches the server and not a shell.
CMD ["semcache", "serve"]
