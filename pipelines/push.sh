#!/usr/bin/env bash
# REPOSITORY TAG: builds both images for amd64 and arm64, and pushes them as TAG and TAG-slim.
# Whoever calls it has signed in to the container registry.
set -euo pipefail
repository=$1
tag=$2

# The other architecture is emulated. Only a builder of one's own makes an image of two.
docker run --privileged --rm tonistiigi/binfmt:qemu-v8.1.5 --install arm64
docker buildx inspect aml-serve >/dev/null 2>&1 || docker buildx create --name aml-serve

push() {
  docker buildx build --builder aml-serve --platform linux/amd64,linux/arm64 --push \
    --build-arg "VERSION=$tag" --build-arg "REVISION=$(git rev-parse HEAD)" "$@" .
}
push --tag "$repository:$tag"
push --tag "$repository:$tag-slim" --target slim
