# The host with its guests. Stage by stage: the toolchain of rust-toolchain.toml, one build, a small image.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make pkg-config libssl-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo xtask guests && cargo build --release --locked --package gristmill

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/gristmill gristmill
WORKDIR /opt/gristmill
COPY --from=build /src/target/release/gristmill bin/gristmill
# The host looks for modules one folder above its program.
COPY --from=build /src/target/modules/*.wasm modules/
COPY examples examples
USER gristmill
EXPOSE 7171
ENTRYPOINT ["/opt/gristmill/bin/gristmill"]
CMD ["--help"]
