# PYTHON ARGUMENT...: what pip does for that Python, by the tools' pip and the secrets that there are.
set -eu
python=$1
shift
if [ -f /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi
# Wheels only: nothing is compiled, and nobody's setup.py runs. Bytecode is made at the end.
exec /tools/bin/pip --python "$python" "$@" --no-compile --only-binary :all:
