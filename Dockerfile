# docs/containers.md says how to build, run and check this image.

# Any image with Python 3.11 on Linux (glibc 2.28 or newer); both stages use the same one.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS builder

# Package index of PyTorch alone: that of its builds for the CPU. PyPI has the builds for CUDA, which
# make the image several GB larger.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN python -m venv --without-pip /opt/tmsprep
ENV PIP="python -m pip --python /opt/tmsprep/bin/python --no-cache-dir --disable-pip-version-check"

WORKDIR /build
COPY constraints.txt ./
RUN ${PIP} install --no-compile --no-deps --index-url "${TORCH_INDEX}" -c constraints.txt torch

COPY pyproject.toml README.md LICENSE ./
COPY tmsprep tmsprep
COPY workflows workflows
COPY bids_filters bids_filters
RUN ${PIP} install --no-compile -c constraints.txt .

# Tests of other packages and files for compilers are a tenth of the image. Bytecode is compiled
# once, here, and never checked against the age of the sources, which some programs change.
WORKDIR /opt/tmsprep/lib
RUN find . -depth -type d -name tests -exec rm -r {} + \
    && find . -name '*.a' -delete \
    && cd python3.*/site-packages/torch \
    && rm -rf include share test \
    && find bin -type f ! -name torch_shm_manager -delete
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x torch/testing/_internal . \
    && /opt/tmsprep/bin/tmsprep --version


FROM ${BASE}

ARG VERSION=0.1.0
# Address of the repository that the image is built from.
ARG SOURCE=
LABEL org.opencontainers.image.title="tmsprep" \
      org.opencontainers.image.description="Localise the cortical targets of transcranial magnetic stimulation in T1-weighted MRI" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.documentation="${SOURCE}"

# The official image has no bytecode of the standard library, and a read-only one could not keep any.
RUN python -m compileall -q --invalidation-mode unchecked-hash -x 'site-packages|lib2to3|/test/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && useradd --uid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tmsprep

COPY --from=builder /opt/tmsprep /opt/tmsprep

# Files that libraries write to the home directory go to /tmp, the only writable directory in a
# read-only container; packages of the user's own account are ignored.
ENV PATH=/opt/tmsprep/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/tmp \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    NIPYPE_NO_ET=1

USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["/opt/tmsprep/bin/tmsprep"]
CMD ["--help"]
