# LOCK EXTRAS REQUIREMENTS: all that the service imports, into /opt/aml-serve.
set -eu
lock=$1
extras=$2
own=$3
python=/opt/aml-serve/bin/python

set -- -r "$lock"
for extra in $(echo "$extras" | tr ',' ' '); do
  if [ ! -f "requirements-$extra.txt" ]; then
    echo "EXTRAS: there is no $extra; known: accelerate, boosters, mlflow, opencensus, schema" >&2
    exit 2
  fi
  set -- "$@" -r "requirements-$extra.txt"
done
# Each set is whole; inference-schema (schema) asks for an older wrapt than it needs.
sh image/pip.sh $python install --require-hashes --no-deps "$@"
$python image/trim.py

# LightGBM wants the OpenMP of a system, and slim bases have none; its neighbours bring one.
libraries=$($python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
if [ -d "$libraries/lightgbm" ]; then
  mkdir /opt/aml-serve/native
  ln -s "$(ls "$libraries"/*.libs/libgomp-* | head -n 1)" /opt/aml-serve/native/libgomp.so.1
fi

# The user's own come last, are left whole, and may replace any of the above.
if [ -n "$own" ]; then
  $python image/conda.py "$(basename "$own")" >own.txt
  sh image/pip.sh $python install -r own.txt
fi

# Never compared with its source, whose times a copy changes.
$python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/aml-serve/lib
