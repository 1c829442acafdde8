# One image for the API, the workers and the one-shot commands; with EXTRAS=batch the one that trains.
# PIP_ARGS reaches pip: another package index, or the small CPU build of torch.
FROM python:3.11-slim AS build
ARG EXTRAS=""
ARG PIP_ARGS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/reelstream
WORKDIR /src
# The dependencies first, so that a change of our code doesn't fetch gigabytes again.
COPY pyproject.toml constraints.txt ./
RUN python -c "import os, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    extras = filter(None, os.environ['EXTRAS'].split(',')); \
    print(*project['dependencies'], *sum((project['optional-dependencies'][name] for name in extras), []), sep='\n')" \
    > requirements.txt \
 && /opt/reelstream/bin/pip install $PIP_ARGS -c constraints.txt -r requirements.txt
COPY README.md LICENSE ./
COPY schemas schemas
COPY online_models online_models
COPY collector collector
COPY streams streams
COPY batch_models batch_models
COPY api api
COPY reelstream reelstream
RUN /opt/reelstream/bin/pip install $PIP_ARGS --no-deps .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/reelstream reelstream \
 && install --directory --owner reelstream /var/lib/reelstream /var/lib/reelstream/models
COPY --from=build /opt/reelstream /opt/reelstream
ENV PATH=/opt/reelstream/bin:$PATH PYTHONUNBUFFERED=1
USER reelstream
WORKDIR /var/lib/reelstream
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
CMD ["reelstream", "api", "--host", "0.0.0.0", "--port", "8000"]
