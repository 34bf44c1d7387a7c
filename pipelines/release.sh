#!/usr/bin/env bash
# NAMESPACE REPOSITORY TAG [VALUES_FILE]: upgrades the release there and tests it; what fails is rolled back.
#
# Environment: SUBSCRIPTION_ID, RESOURCE_GROUP, WORKSPACE_NAME are the workspace whose models are served,
# and IDENTITY_CLIENT_ID is the managed identity that the pods ask it as: no secret is handed on.
set -euo pipefail
namespace=$1
repository=$2
tag=$3
values=${4:+--values=$4}

# --atomic takes an upgrade back that does not become ready, and waits for that.
helm upgrade --install aml-serve charts/aml-serve --namespace "$namespace" --create-namespace \
  --atomic --timeout 20m ${values:+"$values"} \
  --set "image.repository=$repository" --set-string "image.tag=$tag" \
  --set "amlargs.azureSubscriptionId=$SUBSCRIPTION_ID" \
  --set "amlargs.azureResourceGroupName=$RESOURCE_GROUP" \
  --set "amlargs.azureMlWorkspaceName=$WORKSPACE_NAME" \
  --set workloadIdentity.enabled=true --set "workloadIdentity.clientId=$IDENTITY_CLIENT_ID"

if helm test aml-serve --namespace "$namespace" --logs --timeout 10m; then
  exit 0
fi
echo "the release does not score: rolling back" >&2
helm rollback aml-serve --namespace "$namespace" --wait --timeout 20m
exit 1
