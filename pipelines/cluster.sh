#!/usr/bin/env bash
# RESOURCE_GROUP CLUSTER: lets kubectl and helm reach an AKS cluster as whoever has signed in to az.
set -euo pipefail
command -v kubelogin >/dev/null || sudo az aks install-cli
az aks get-credentials --resource-group "$1" --name "$2" --overwrite-existing
kubelogin convert-kubeconfig --login azurecli
