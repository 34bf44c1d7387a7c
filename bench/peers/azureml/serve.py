"""`azmlinfsrv` on the loopback address; it listens on every address and has no setting for it."""

# The peer's packages are in its own environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found"

from azureml_inference_server_http import amlserver

from bench.peers import HOST

if __name__ == "__main__":
    amlserver.DEFAULT_HOST = HOST
    amlserver.run()
