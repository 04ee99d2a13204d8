# The same image as `make image` builds, for those who have a container engine:
#
#   docker build -t capi-dispatcher .
#   docker buildx build --platform linux/amd64,linux/arm64 -t … --push .
#
# Version and commit are what the Go tool finds in .git, so the context has to be a clone, with its tags.
#
# The digest is what counts, and is of an index for all platforms; the tag tells people, and tools that renew it, what it stands for.
FROM --platform=$BUILDPLATFORM golang:1.26.8@sha256:3c3e25a4da13fd0478eed2df1eb35a0e667094a7124d3993a6a1d30f71c17e79 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
RUN git config --global --add safe.directory /src \
 && CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -buildvcs=true -trimpath -ldflags "-s -w" -o /out/usr/bin/capi-dispatcher ./cmd/capi-dispatcher \
 && cd .ci/image && go run . --platforms "$TARGETOS/$TARGETARCH" --base /base.tar && tar -xf /base.tar -C /out

FROM scratch
COPY --from=build /out/ /
USER 65532:65532
LABEL org.opencontainers.image.title=capi-dispatcher \
      org.opencontainers.image.source=https://github.com/capi-dispatcher/capi-dispatcher \
      org.opencontainers.image.licenses=Apache-2.0
ENTRYPOINT ["/usr/bin/capi-dispatcher"]
