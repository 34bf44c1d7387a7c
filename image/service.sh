# OUT: the service itself, with bytecode, as it is to be laid over /opt/aml-serve.
set -eu
SOURCE_DATE_EPOCH=315532800 /tools/bin/pip wheel --no-deps --no-index --no-build-isolation -w /wheel .
sh image/pip.sh /opt/aml-serve/bin/python install --no-deps --no-index --prefix "$1" /wheel/*.whl
/opt/aml-serve/bin/python -m compileall -q --invalidation-mode unchecked-hash \
  -s "$1" -p /opt/aml-serve "$1/lib"
