"""What the process of a script sees of the service's environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtimes.script.environment import environment

FOLDER = Path("/models/name/1")
SECRETS = [
    "SERVE_API_KEYS", "SERVE_ADMIN_KEYS", "SERVE_CONFIG", "AZURE_CLIENT_SECRET", "CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD", "MY_TOKEN", "token", "GITHUB_PAT", "HF_TOKEN",
    "DB_PASSWORD",
    "PGPASS", "STORAGE_KEY", "AZURE_STORAGE_KEY", "API_KEY", "APIKEY", "OPENAI_API_KEY", "SSH_KEY",
    "AZURE_STORAGE_CONNECTION_STRING", "APPLICATIONINSIGHTS_CONNECTION_STRING", "AWS_ACCESS_KEY_ID",
    "APPINSIGHTS_INSTRUMENTATIONKEY", "AML_APP_INSIGHTS_KEY", "BLOB_SAS", "SAS_TOKEN", "COOKIE",
    "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "JWT",
    "DB_PWD", "KEY_PASSPHRASE", "IDENTITY_HEADER",
    "AZURE_FEDERATED_TOKEN_FILE",
]  # fmt: skip
HARMLESS = [
    "PATH", "HOME", "LANG", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "HTTPS_PROXY",
    "NO_PROXY", "SSL_CERT_FILE", "KEYBOARD", "MONKEY", "AUTHOR", "SASSY", "PWD", "OLDPWD",
]  # fmt: skip
BY_VALUE = [
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=b==", "Endpoint=sb://a;SharedAccessKey=b",
    "https://a.blob.core.windows.net/c?sv=1&sig=b", "InstrumentationKey=0", "Server=a;Password = b",
    "redis://:word@cache:6379/0", "postgresql://me:word@db/name",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_of_the_service_is_not_the_script_s(name: str) -> None:
    assert name not in environment({name: "value"}, FOLDER)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_secret_is_handed_on(name: str) -> None:
    assert environment({name: "value"}, FOLDER)[name] == "value"


@pytest.mark.parametrize("value", BY_VALUE)
def test_a_value_that_is_a_secret_is_kept_back_whatever_its_name(value: str) -> None:
    assert "PLACE" not in environment({"PLACE": value}, FOLDER)


@pytest.mark.parametrize("name", SECRETS)
def test_what_the_operator_names_is_seen_all_the_same_and_nothing_else(name: str) -> None:
    told = environment({name: "value", "OTHER_TOKEN": "value"}, FOLDER, [name])

    assert told[name] == "value"
    assert "OTHER_TOKEN" not in told


def test_a_value_that_looks_like_a_secret_is_seen_where_its_variable_is_named() -> None:
    assert environment({"PLACE": BY_VALUE[0]}, FOLDER, ["PLACE"])["PLACE"] == BY_VALUE[0]


def test_what_the_operator_names_does_not_tell_it_of_another_folder() -> None:
    told = environment({"AZUREML_MODEL_DIR": "/other"}, FOLDER, ["AZUREML_MODEL_DIR"])

    assert told["AZUREML_MODEL_DIR"] == str(FOLDER)


def test_it_is_told_where_its_files_are_and_writes_nothing_beside_them() -> None:
    told = environment({"AZUREML_MODEL_DIR": "/elsewhere"}, FOLDER)

    assert told["AZUREML_MODEL_DIR"] == told["AML_APP_ROOT"] == str(FOLDER)
    assert told["PYTHONDONTWRITEBYTECODE"] == "1"


PARTS = st.sampled_from(
    ["SECRET", "TOKEN", "PASSWORD", "CREDENTIALS", "API_KEY", "CONNECTION_STRING"]
)
WORDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=8)


@given(WORDS, PARTS, WORDS, st.booleans())
def test_a_word_for_secrets_is_found_anywhere_in_a_name(
    before: str, part: str, after: str, is_lower: bool
) -> None:
    name = f"{before}_{part}_{after}"
    name = name.lower() if is_lower else name

    assert name not in environment({name: "value"}, FOLDER)


@given(st.dictionaries(WORDS, WORDS))
def test_nothing_is_made_up_and_nothing_of_the_service_is_changed(given_: dict[str, str]) -> None:
    before = dict(given_)
    told = environment(given_, FOLDER)

    assert given_ == before
    assert {k: v for k, v in told.items() if k in given_}.items() <= given_.items()
