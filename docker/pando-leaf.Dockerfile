# syntax=docker/dockerfile:1
# The image of pando-leaf: stores partitions and runs stages over them.
#
#     docker buildx build --platform linux/amd64,linux/arm64 -f docker/pando-leaf.Dockerfile -t pando-leaf:0.1.0 .
#
# Each platform is built by a machine, or an emulator, of its own kind: nothing is cross-compiled. For
# amd64 .cargo/config.toml asks for x86-64-v3 (AVX2: processors since 2013); for arm64 any will do.
# The images share the stage `build` up to its last lines, so that a second image costs little.

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        clang libclang-dev librocksdb-dev mold protobuf-compiler \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
ENV CARGO_TARGET_DIR=/target
RUN --mount=type=cache,target=/usr/local/cargo/registry,id=pando-registry \
    --mount=type=cache,target=/target,id=pando-target-$TARGETARCH,sharing=locked \
    ROCKSDB_LIB_DIR=$(dirname /usr/lib/*/librocksdb.so) cargo build --locked --workspace --bin pando-leaf \
    && docker/rootfs /target/debug/pando-leaf /rootfs

# The program, the libraries that it is linked with, and nothing else: no shell, no package manager.
FROM scratch
COPY --from=build /rootfs /
USER 65532:65532
WORKDIR /var/lib/pando
# Everything that is written goes here; the rest of the image may be mounted read-only.
ENV PANDO_DATA=/var/lib/pando PANDO_BIND=0.0.0.0
EXPOSE 7307 8307
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/pando-leaf"]
