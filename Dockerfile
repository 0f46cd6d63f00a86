# The service in an image without a shell: one program, a non-root user, and its data directory.
# There is no `# syntax` line: every build would pull another image, and would need a registry where a mirror is enough.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock askama.toml ./
COPY src ./src
COPY crates ./crates
COPY benches ./benches
# The caches outlive the layer: after a change of one source only one crate is compiled. Their content is not in the
# image, so the program is copied out.
#
# Cargo compares file times, and a checkout can be older than the cached program (an archive, `rsync -a`, a restored
# cache, a wrong clock). With its fingerprint removed, our own crate is always compiled. The caches have names of ours
# and one target directory per processor type; `locked` keeps two builds from taking each other's program.
RUN --mount=type=cache,id=skriptoteket-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=skriptoteket-target,target=/src/target,sharing=locked \
    CARGO_TARGET_DIR="/src/target/$(uname -m)" \
    && export CARGO_TARGET_DIR \
    && rm -rf "$CARGO_TARGET_DIR"/release/.fingerprint/skriptoteket-* \
    && cargo build --locked --release --bin skriptoteket \
    && install -D "$CARGO_TARGET_DIR/release/skriptoteket" /out/skriptoteket \
    && install -d -m 0700 /out/data/skriptoteket

# The same Debian as above: the C library that the program was linked against.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Skriptoteket" \
      org.opencontainers.image.description="A login-and-session service with exact metrics" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/skriptoteket /usr/local/bin/skriptoteket
# When a volume is mounted here for the first time, it takes its owner and mode from this directory. COPY keeps the mode
# of the files in the directory that it copies, but not that of the directory itself.
COPY --from=build --chown=65532:65532 /out/data /var/lib
ENV SKRIPTOTEKET_DATA_DIR=/var/lib/skriptoteket \
    SKRIPTOTEKET_LISTEN=0.0.0.0:8080
USER 65532:65532
WORKDIR /var/lib/skriptoteket
VOLUME ["/var/lib/skriptoteket"]
EXPOSE 8080
# No HEALTHCHECK: it would apply to every command of the program, and only `serve` is a server. docker-compose.yml has
# one for the service.
ENTRYPOINT ["skriptoteket"]
CMD ["serve"]
