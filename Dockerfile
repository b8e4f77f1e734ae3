# syntax=docker/dockerfile:1

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOCACHE=/cache/build GOMODCACHE=/cache/mod
COPY . .
ARG VERSION=devel
RUN --mount=type=cache,target=/cache go build -trimpath -ldflags="-s -w -X github.com/ctrip-gateway/ctrip/internal/telemetry.version=${VERSION}" -o /out/ ./cmd/api ./cmd/scanner ./cmd/worker ./cmd/ctripctl

# One image for every process: nothing but the static binaries and the certificate authorities. Who runs it names the
# binary. 65532 is the customary number of "nonroot".
FROM scratch
ARG VERSION=devel
LABEL org.opencontainers.image.title="ctrip" org.opencontainers.image.version="${VERSION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /usr/local/bin/
COPY --from=build /src/LICENSE /src/THIRD_PARTY /usr/share/doc/ctrip/
USER 65532:65532
CMD ["/usr/local/bin/ctripctl", "--help"]
