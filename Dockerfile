# check=error=true
#
# Two images out of one build:
#   app        the program alone, for a Postgres elsewhere; what fly.toml deploys
#   allinone   the program and a Postgres of its own, with everything in /data
#
# `make image` builds them. The bases are arguments, so that they may come from
# a mirror, or from scripts/image where no registry can be reached.
ARG NODE_IMAGE=node:22-bookworm-slim
ARG GO_IMAGE=golang:1.26-bookworm
ARG APP_BASE=gcr.io/distroless/static-debian12:nonroot
ARG ALLINONE_BASE=debian:bookworm-slim

# The dashboard: the same files for every platform, so it is built on ours.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS web
WORKDIR /src/client/web
COPY client/web/package.json client/web/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY client/web ./
RUN npm run build -- --logLevel warn

# The program, cross-compiled: no C, so no emulator either.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
COPY --from=web /src/client/web/dist client/web/dist
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
    -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /out/importer ./cmd/importer && \
    mkdir /out/data

FROM ${ALLINONE_BASE} AS allinone
# Debian would make a database cluster at once; ours belongs into the volume.
RUN mkdir -p /etc/postgresql-common && \
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf && \
    apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates postgresql tini && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --key SYS_UID_MAX=65532 --system --uid 65532 --home-dir /data --shell /usr/sbin/nologin nonroot
COPY --from=build /out/importer /usr/local/bin/importer
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
ENV IMPORTER_ADDR=0.0.0.0:8080 IMPORTER_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["importer", "healthcheck"]
# tini collects what Postgres' processes leave behind; the importer stops Postgres itself.
ENTRYPOINT ["tini", "--", "importer"]
CMD ["serve"]

FROM ${APP_BASE} AS app
COPY --from=build /out/importer /usr/local/bin/importer
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
ENV IMPORTER_ADDR=0.0.0.0:8080 IMPORTER_DATA_DIR=/data IMPORTER_PRIVATE_PG=never
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/importer", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/importer"]
CMD ["serve"]
