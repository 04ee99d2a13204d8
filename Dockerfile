# The same image as `make image` builds, for those who have a container engine:
#
#   docker build -t capi-dispatcher .
#   docker buildx build --platform linux/amd64,linux/arm64 -t … --push .
#
# Version and commit are what the Go tool finds in .git, so the context has to be a clone, with its tags.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
RUN git config --global --add safe.directory /src \
 && CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -buildvcs=true -trimpath -ldflags "-s -w" -o /out/capi-dispatcher ./cmd/capi-dispatcher \
 && mkdir -m 1777 /out/tmp \
 && printf 'root:x:0:0:root:/:/sbin/nologin\ncapi:x:65532:65532::/:/sbin/nologin\n' > /out/passwd

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/passwd /etc/passwd
COPY --from=build /out/tmp /tmp
COPY --from=build /out/capi-dispatcher /usr/bin/capi-dispatcher
USER 65532:65532
LABEL org.opencontainers.image.title=capi-dispatcher \
      org.opencontainers.image.source=https://github.com/capi-dispatcher/capi-dispatcher \
      org.opencontainers.image.licenses=Apache-2.0
ENTRYPOINT ["/usr/bin/capi-dispatcher"]
