#!/usr/bin/env bash
# Trains, registers what came of it as a new version, and has it served as `candidate`.
#
# Environment: TRAIN is a command that writes the model folder MODEL, NAME the name it is registered under. SERVERS
# are the URLs of all pods (an admin request changes the pod that it reaches), SERVE_ADMIN_KEYS their admin key.
# STABLE is the version that keeps the label `stable`; labels are set all together.
set -euo pipefail

bash -euo pipefail -c "$TRAIN"
registered=$(aml-serve models register "$MODEL" --name "$NAME" --tag "commit=$(git rev-parse HEAD)")
echo "registered $registered"

for server in $SERVERS; do
  aml-serve models load "$registered" --url "$server"
  aml-serve models label "$NAME" ${STABLE:+"stable=$STABLE"} "candidate=${registered##*:}" --url "$server"
done
