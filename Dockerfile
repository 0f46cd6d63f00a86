# syntax=docker/dockerfile:1.19
# The service in an image without a shell: one program, a user who is not root, and its data directory.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY benches ./benches
# The caches outlive the layer: a change of one source rebuilds one crate. What is in them is not in the image, so the
# program is copied out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin skriptoteket \
    && install -D target/release/skriptoteket /out/skriptoteket \
    && install -d -m 0700 /out/data

# The same Debian as above: the C library that the program was linked with.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/skriptoteket /usr/local/bin/skriptoteket
# A volume that is mounted here for the first time takes its owner from it.
COPY --from=build --chown=65532:65532 /out/data /var/lib/skriptoteket
ENV SKRIPTOTEKET_DATA_DIR=/var/lib/skriptoteket \
    SKRIPTOTEKET_LISTEN=0.0.0.0:8080
USER 65532:65532
WORKDIR /var/lib/skriptoteket
VOLUME ["/var/lib/skriptoteket"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["skriptoteket", "healthcheck"]
ENTRYPOINT ["skriptoteket"]
CMD ["serve"]
