# The workflow with all that it needs, for GPUs or, with --build-arg TORCH=cpu, without. The folder in which it is
# started holds config.yaml and the data, and gets the results:
#
#   docker build -t cellcascade .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/project" cellcascade all --cores 8
#   docker run --rm -v "$PWD:/project" --entrypoint cellcascade cellcascade check config.yaml
FROM python:3.11-slim-bookworm

# What uv calls the wheels of PyTorch: cu126, cu130, … or cpu.
ARG TORCH=cu130

# The packages first: they change less often than the code.
WORKDIR /opt/cellcascade
COPY requirements.lock ./
RUN pip install --no-cache-dir uv==0.13.9 \
    && uv pip install --system --no-cache --compile-bytecode --torch-backend "$TORCH" -r requirements.lock

COPY pyproject.toml README.md LICENSE Snakefile ./
COPY src src
COPY scripts scripts
COPY workflow workflow
COPY profiles profiles
COPY presets presets
COPY envs envs
RUN uv pip install --system --no-cache --no-deps --no-build-isolation --compile-bytecode .

# Any user may run it: what libraries keep in a home folder goes to one that all may write to.
ENV HOME=/tmp USER=cellcascade
WORKDIR /project
ENTRYPOINT ["snakemake", "--snakefile", "/opt/cellcascade/Snakefile"]
CMD ["all", "--cores", "all"]
