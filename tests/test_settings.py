"""`app.settings`: what is read, what is refused in which words, and that the docs say the same."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

import app.settings.azure
import app.settings.dropin
import app.settings.variables
from app.settings import (
    BatchingSettings,
    CollectSettings,
    ColumnsSettings,
    ModelChoice,
    ModelSettings,
    RegistrySettings,
    Settings,
    SettingsError,
    parse_bytes,
)
from app.settings.kinds import StepBackSettings

DOCS = (Path(__file__).parents[1] / "docs" / "settings.md").read_text()
MODEL_KEYS = (
    "name, registry, version, preload, required, pin, sha256, labels, traffic, traffic_by, "
    "shadow, batching, threads, timeout_s, memory_bytes, environment, accelerate, collect"
)
PLACE = "file:///PATH of a folder, or https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]"
TOLD_SALT = "text of at least 8 characters, needed with columns.hash"
FOREIGN = {"azure", "insights", "drop_in", "cors_origins", "reloads"}
"""Fields that no SERVE_ variable sets."""

DEFAULTS: dict[str, object] = {
    "host": "0.0.0.0",
    "port": 5001,
    "grpc_port": 0,
    "registry": None,
    "models": None,
    "default_model": None,
    "config": None,
    "trust": None,
    "identity": "auto",
    "azureml_client": "rest",
    "on_demand": True,
    "on_demand_match": "*",
    "refresh_s": 60.0,
    "step_back": StepBackSettings(0.05, 300.0),
    "cache_dir": Path("/home/me/.cache/aml-serve"),
    "cache_bytes": 10 * 2**30,
    "memory_bytes": None,
    "body_memory_bytes": None,
    "max_body_bytes": 100 * 2**20,
    "timeout_s": 60.0,
    "max_in_flight": 512,
    "client_max_in_flight": None,
    "drain_s": 0.0,
    "model_failure_status": 502,
    "workers": 1,
    "threads": None,
    "api_keys": None,
    "api_keys_file": None,
    "admin_keys": None,
    "jwt_issuer": None,
    "jwt_audience": None,
    "jwt_roles": None,
    "metrics_open": True,
    "log_level": "info",
    "log_format": None,
    "telemetry": "opentelemetry",
}

Configure = Callable[[str], Settings]


def faults(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ)
    assert str(caught.value).splitlines() == list(caught.value.lines)
    return list(caught.value.lines)


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    def load(text: str) -> Settings:
        path = tmp_path / "serve.yaml"
        path.write_text(text)
        return Settings.load({"SERVE_CONFIG": str(path)})

    return load


# Values that are right


def test_every_setting_has_the_documented_default() -> None:
    settings = Settings.load({"HOME": "/home/me"})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert settings.model_dump(exclude=FOREIGN).keys() == DEFAULTS.keys()


def test_an_empty_variable_is_an_unset_one() -> None:
    empty = {f"SERVE_{name.upper()}": "" for name in DEFAULTS}
    settings = Settings.load({"HOME": "/home/me", **empty})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("SERVE_HOST", "::1", "::1"),
        ("SERVE_PORT", "0", 0),
        ("SERVE_PORT", "65535", 65535),
        ("SERVE_REGISTRY", "file:///models", "file:///models"),
        ("SERVE_REGISTRY", "./models", "./models"),
        ("SERVE_REGISTRY", "azureml://workspace", "azureml://workspace"),
        ("SERVE_REGISTRY", "azureml://registries/shared", "azureml://registries/shared"),
        ("SERVE_REGISTRY", "https://a.blob.b.c:1/d/e?sv=1", "https://a.blob.b.c:1/d/e?sv=1"),
        ("SERVE_TRUST", "pinned", "pinned"),
        ("SERVE_STEP_BACK", "off", None),
        ("SERVE_STEP_BACK", "errors: 0.5%, 60s", StepBackSettings(0.005, 60)),
        ("SERVE_IDENTITY", "managed:1-a", "managed:1-a"),
        ("SERVE_AZUREML_CLIENT", "sdk", "sdk"),
        ("SERVE_TELEMETRY", "opencensus", "opencensus"),
        ("SERVE_MODELS", "a", (ModelChoice("a"),)),
        ("SERVE_MODELS", "a:3, b:latest,", (ModelChoice("a", "3"), ModelChoice("b"))),
        ("SERVE_MODELS", "a:1,a:2", (ModelChoice("a", "1"), ModelChoice("a", "2"))),
        ("SERVE_DEFAULT_MODEL", "a.b_c-1", "a.b_c-1"),
        ("SERVE_CACHE_DIR", "/cache", Path("/cache")),
        ("SERVE_MEMORY_BYTES", "512Mi", 512 * 2**20),
        ("SERVE_CACHE_BYTES", "1G", 10**9),
        ("SERVE_TIMEOUT_S", "0.5", 0.5),
        ("SERVE_MODEL_FAILURE_STATUS", "500", 500),
        ("SERVE_WORKERS", "2", 2),
        ("SERVE_THREADS", "4", 4),
        ("SERVE_LOG_LEVEL", "debug", "debug"),
        ("SERVE_LOG_FORMAT", "json", "json"),
    ],
)
def test_a_right_value_is_parsed(variable: str, text: str, value: object) -> None:
    settings = Settings.load({variable: text})
    assert getattr(settings, variable.removeprefix("SERVE_").lower()) == value


@pytest.mark.parametrize("text", ["true", "1", "yes", "on", "TRUE"])
def test_a_boolean_is_written_in_the_usual_ways(text: str) -> None:
    assert Settings.load({"SERVE_ON_DEMAND": text}).on_demand is True


@pytest.mark.parametrize("text", ["false", "0", "no", "off", "False"])
def test_a_boolean_is_denied_in_the_usual_ways(text: str) -> None:
    assert Settings.load({"SERVE_METRICS_OPEN": text}).metrics_open is False


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/me"}, "/home/me/.cache/aml-serve"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/xdg"}, "/xdg/aml-serve"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "relative"}, "/home/me/.cache/aml-serve"),
    ],
)
def test_the_store_is_by_default_in_the_cache_of_the_user(
    environ: dict[str, str], folder: str
) -> None:
    assert Settings.load(environ).cache_dir == Path(folder)


def test_without_home_and_user_the_cache_is_below_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert Settings.load({}).cache_dir == Path("/.cache/aml-serve")


def test_only_the_mapping_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_PORT", "nonsense")
    monkeypatch.setenv("SERVE_HOST", "elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    settings = Settings.load({"HOME": "/home/me"})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert settings.model_dump(exclude=FOREIGN).keys() == DEFAULTS.keys()


def test_a_file_of_keys_is_named_not_read(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("hunter2")
    assert Settings.load({"SERVE_API_KEYS_FILE": str(keys)}).api_keys_file == keys


def test_settings_can_be_made_of_values_as_well() -> None:
    settings = Settings(models=(ModelChoice("a"),), cache_bytes=1, api_keys=(SecretStr("x"),))
    assert settings == Settings.load(
        {"SERVE_MODELS": "a", "SERVE_CACHE_BYTES": "1", "SERVE_API_KEYS": "x"}
        | {"SERVE_CACHE_DIR": str(settings.cache_dir)}
    )


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load({}).port = 1


def test_yaml_is_not_imported_without_a_file() -> None:
    program = "import sys, app.settings as s; s.Settings.load({}); sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


SUFFIXES = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


@given(number=st.integers(0, 10**15), suffix=st.sampled_from(sorted(SUFFIXES)))
def test_a_byte_size_is_its_number_times_its_suffix(number: int, suffix: str) -> None:
    assert parse_bytes(f"{number}{suffix}") == number * SUFFIXES[suffix]


@given(text=st.text(max_size=8) | st.from_regex(r"-?[0-9.]+ ?[kKMGTPi]{0,3}", fullmatch=True))
def test_a_text_is_a_byte_size_or_a_fault(text: str) -> None:
    if re.fullmatch(r"[0-9]+(k|[MGT]|[KMGT]i)?", text):
        assert parse_bytes(text) >= 0
    else:
        with pytest.raises(ValueError, match="512Mi"):
            parse_bytes(text)


# Values that are wrong

NAME = "letters, digits, '.', '_' and '-', at most 255, neither '.' nor '..'"
CHOICE = f"name, name:version or name:latest, each of {NAME}"
BYTES = "bytes as a whole number from 1, also with k, M, G, T, Ki, Mi, Gi or Ti, as in 512Mi"
FOLDER = (
    "the path of a folder, plain or as file:///path; azureml://workspace; "
    "azureml://registries/NAME; https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]"
)
BOOLEAN = "true, false, 1, 0, yes, no, on or off"
READABLE = "the path of a file that can be read"
STEP_BACK = "off, or as in: errors: 5 %, 300 s"
IDENTITIES = "auto, workload, secret, managed, managed:CLIENT_ID or cli"
YAML_FILE = "the path of a YAML file of at most 1 MiB"
ABSENT = "a path that cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    ("variable", "text", "kind", "allowed"),
    [
        ("HOST", "http://here", "text", "an IP address or a host name"),
        ("PORT", "http", "text", "a whole number from 0 to 65535"),
        ("PORT", "65536", "a whole number", "a whole number from 0 to 65535"),
        ("PORT", "-1", "a whole number", "a whole number from 0 to 65535"),
        ("PORT", "1.5", "a number", "a whole number from 0 to 65535"),
        ("GRPC_PORT", "8001", "a whole number", "0 only, for this version does not speak gRPC"),
        ("REGISTRY", "azureml://workspaces", "text", FOLDER),
        ("REGISTRY", "azureml://registries/", "text", FOLDER),
        ("REGISTRY", "https://account.blob.core.windows.net", "text", FOLDER),
        ("IDENTITY", "me", "text", IDENTITIES),
        ("STEP_BACK", "errors: 101 %, 1 s", "text", STEP_BACK),
        ("TRUST", "some", "text", "all, pinned or none"),
        ("AZUREML_CLIENT", "cli", "text", "rest or sdk"),
        ("TELEMETRY", "none", "text", "opentelemetry or opencensus"),
        ("JWT_ISSUER", ",", "a list of nothing", "one or more, comma-separated"),
        ("REGISTRY", "file://models", "text", FOLDER),
        ("MODELS", ", ,", "a list of nothing", "one or more, comma-separated"),
        ("MODELS", "a,b,a:latest", "a list that repeats itself", "each name and version once"),
        ("DEFAULT_MODEL", "a:1", "text", NAME),
        ("CONFIG", "/nowhere", ABSENT, YAML_FILE),
        ("CONFIG", "/", "a path that cannot be read (Is a directory)", YAML_FILE),
        ("ON_DEMAND", "maybe", "text", BOOLEAN),
        ("METRICS_OPEN", "2", "a whole number", BOOLEAN),
        ("CACHE_BYTES", "0", "a whole number", BYTES),
        ("MEMORY_BYTES", "1.5Gi", "text", BYTES),
        ("BODY_MEMORY_BYTES", "-1", "a whole number", BYTES),
        ("MAX_BODY_BYTES", "10Kb", "text", BYTES),
        ("TIMEOUT_S", "0", "a whole number", "seconds as a number above 0"),
        ("TIMEOUT_S", "inf", "a number", "seconds as a number above 0"),
        ("TIMEOUT_S", "1m", "text", "seconds as a number above 0"),
        ("MAX_IN_FLIGHT", "0", "a whole number", "a whole number from 1"),
        ("CLIENT_MAX_IN_FLIGHT", "many", "text", "a whole number from 1"),
        ("DRAIN_S", "-0.5", "a number", "seconds as a number from 0"),
        ("MODEL_FAILURE_STATUS", "503", "a whole number", "502 or 500"),
        ("MODEL_FAILURE_STATUS", "bad", "text", "502 or 500"),
        ("WORKERS", "0", "a whole number", "a whole number from 1"),
        ("WORKERS", "auto", "text", "a whole number from 1"),
        ("THREADS", "0", "a whole number", "a whole number from 1"),
        ("API_KEYS", " ", "a list of nothing", "one or more, comma-separated"),
        ("API_KEYS_FILE", "/nowhere", ABSENT, READABLE),
        ("LOG_LEVEL", "loud", "text", "debug, info, warning or error"),
        ("LOG_FORMAT", "xml", "text", "json or text"),
    ],
)
def test_a_wrong_value_gives_a_line_of_variable_kind_and_what_is_allowed(
    variable: str, text: str, kind: str, allowed: str
) -> None:
    assert faults(**{f"SERVE_{variable}": text}) == [
        f"SERVE_{variable} is {kind}; allowed: {allowed}"
    ]


@pytest.mark.parametrize("name", [".", "..", "a/b", "a b", "ä", "a" * 256, "a:", "a:..", "a:1:2"])
def test_a_model_that_could_leave_its_folder_is_refused(name: str) -> None:
    assert faults(SERVE_MODELS=f"ok,{name}") == [f"SERVE_MODELS[1] is text; allowed: {CHOICE}"]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("models: [{name: a, pin: maybe}, {nme: b}]")
    lines = faults(
        SERVE_PORT="x",
        SERVE_CONFIG=str(config),
        SERVE_LOG_LEVEL="x",
        SERVE_BOGUS="x",
        SERVE_HOST="/",
    )
    assert [line.split(" is ")[0] for line in lines] == [
        "SERVE_BOGUS",
        "SERVE_HOST",
        "SERVE_PORT",
        "serve.yaml: models[0].pin",
        "serve.yaml: models[1].name",
        "serve.yaml: models[1].nme",
        "SERVE_LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("SERVE_TIMEOUT", "; did you mean SERVE_TIMEOUT_S?"),
        ("SERVE_MODEL", "; did you mean SERVE_MODELS?"),
        ("SERVE_LOG_LEVL", "; did you mean SERVE_LOG_LEVEL?"),
        ("SERVE_XYZ", ""),
    ],
)
def test_an_unknown_variable_is_a_fault_with_the_near_name(variable: str, near: str) -> None:
    known = "those in docs/settings.md"
    assert faults(**{variable: "1"}) == [
        f"{variable} is an unknown variable; allowed: {known}{near}"
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SERVE_SERVICE_HOST", "10.0.0.1"),
        ("SERVE_SERVICE_PORT", "80"),
        ("SERVE_SERVICE_PORT_HTTP", "80"),
        ("SERVE_PORT", "tcp://10.0.0.1:80"),
        ("SERVE_GRPC_PORT", "udp://10.0.0.1:80"),
        ("SERVE_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("SERVE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("SERVE_PORT_53_UDP_PROTO", "udp"),
        ("SERVE_CANARY_PORT", "tcp://10.0.0.1:80"),
        ("SERVE_CANARY_SERVICE_HOST", "10.0.0.1"),
    ],
)
def test_what_kubernetes_injects_is_ignored(variable: str, value: str) -> None:
    assert Settings.load({variable: value}) == Settings.load({})


@pytest.mark.parametrize("variable", ["SERVE_PORT_80", "SERVE_SERVICE_PORTS", "SERVE_PORT_X_TCP"])
def test_what_kubernetes_does_not_inject_is_a_fault(variable: str) -> None:
    assert faults(**{variable: "1"})[0].startswith(f"{variable} is an unknown variable")


def test_without_a_registry_there_is_no_serving() -> None:
    message = (
        "SERVE_REGISTRY is not set: name a folder of models, e.g. file:///models, or set "
        "SUBSCRIPTION_ID, RESOURCE_GROUP and WORKSPACE_NAME of an Azure ML workspace"
    )
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        Settings.load({}).require_registry()
    assert Settings.load({"SERVE_REGISTRY": "/models"}).require_registry().url == "/models"


# Secrets

SECRET = "hunter2://sword fish"


def test_keys_are_given_but_never_shown() -> None:
    settings = Settings.load({"SERVE_API_KEYS": "hunter2, swordfish\n"})
    assert [key.get_secret_value() for key in settings.api_keys or ()] == ["hunter2", "swordfish"]
    for shown in (
        repr(settings),
        str(settings),
        repr(settings.model_dump()),
        settings.model_dump_json(),
    ):
        assert "hunter2" not in shown
        assert "swordfish" not in shown


@pytest.mark.parametrize("name", ["API_KEYS", "PORT", "REGISTRY", "MODELS", "LOG_LEVEL", "CONFIG"])
def test_no_error_shows_a_value(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({f"SERVE_{name}": SECRET})
    told = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in told
    assert "sword" not in told


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    line = "SERVE_API_KEYS[1] is text; allowed: visible ASCII characters, no space among them"
    assert faults(SERVE_API_KEYS="good,not good") == [line]


# The configuration file


def test_a_file_is_read_into_models_and_registries(configure: Configure) -> None:
    settings = configure("""
models:
  - {name: a, registry: far, version: 3, pin: true, batching: {max_rows: 8}, threads: 2,
     timeout_s: 1, memory_bytes: 2Gi, environment: [DB_KEY, token], accelerate: verify}
  - {name: b, version: latest}
  - c:v1
registries:
  far: {url: /mnt/far}
""")
    assert settings.named_models == (
        ModelSettings(
            name="a",
            registry="far",
            version="3",
            pin=True,
            batching=BatchingSettings(max_rows=8),
            threads=2,
            timeout_s=1.0,
            memory_bytes=2 * 1024**3,
            environment=("DB_KEY", "token"),
            accelerate="verify",
        ),
        ModelSettings(name="b"),
        ModelSettings(name="c", version="v1"),
    )
    assert settings.registries == {"far": RegistrySettings(url="/mnt/far")}


@pytest.mark.parametrize(
    ("keys", "preload", "required"),
    [
        ("", True, True),
        ("preload: false", False, False),
        ("preload: true", True, True),
        ("preload: false, required: true", False, True),
        ("required: false", True, False),
    ],
)
def test_a_model_is_required_if_preloaded_unless_told(
    configure: Configure, keys: str, preload: bool, required: bool
) -> None:
    models = configure(f"models: [{{name: a, {keys}}}]").named_models
    assert models == (ModelSettings(name="a", preload=preload, required=required),)


def test_a_model_may_be_collected(configure: Configure) -> None:
    settings = configure("""
models:
  - name: a
    collect: {to: file:///a, sample: 1, columns: {drop: [b], hash: [c, d]}, salt: hunter22}
""")
    (model,) = settings.named_models or ()
    columns = ColumnsSettings(drop=("b",), hash=("c", "d"))
    assert model.collect == CollectSettings(
        to="file:///a", sample=1.0, columns=columns, salt="hunter22"
    )
    assert "hunter22" not in repr(settings)


def test_off_may_be_written_without_quotes(configure: Configure) -> None:
    models = configure("models: [{name: a, accelerate: off}, {name: b, accelerate: 'off'}]")
    assert models.named_models == (ModelSettings(name="a"), ModelSettings(name="b"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "models: []", "registries: {}"])
def test_a_file_may_name_nothing(configure: Configure, text: str) -> None:
    assert configure(text).named_models is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[]", " is a list; allowed: a mapping"),
        ("a", " is text; allowed: a mapping"),
        (
            "model: []",
            ": model is an unknown key; allowed: models, registries; did you mean models?",
        ),
        ('"[key]": 1', ": '[key]' is an unknown key; allowed: models, registries"),
        ("1: 2", ": [1] is an unknown key; allowed: models, registries"),
        ("models: a", ": models is text; allowed: a list"),
        ("models: {a: b}", ": models is a mapping; allowed: a list"),
        ("models:", ": models is empty; allowed: a list"),
        ("models: [1]", ": models[0] is a whole number; allowed: a mapping"),
        ("models: ['a b']", f": models[0] is text; allowed: {CHOICE}"),
        ("models: [{}]", f": models[0].name is missing; allowed: {NAME}"),
        ("models: [{name: ..}]", f": models[0].name is text; allowed: {NAME}"),
        ("models: [{name: 3}]", f": models[0].name is a whole number; allowed: {NAME}"),
        ("registries: []", ": registries is a list; allowed: a mapping"),
        ("registries: {a: /x}", ": registries.a is text; allowed: a mapping"),
        ("registries: {a: {}}", f": registries.a.url is missing; allowed: {FOLDER}"),
        ("registries: {a: {url: 'x://y'}}", f": registries.a.url is text; allowed: {FOLDER}"),
        (
            "registries: {a: {url: /x, uri: /y}}",
            ": registries.a.uri is an unknown key; "
            "allowed: url, trust, identity; did you mean url?",
        ),
        ('registries: {"a\\nb": {url: /x}}', f": registries.'a\\nb' is text; allowed: {NAME}"),
        ("models: [", " line 1 is not YAML; allowed: a YAML mapping"),
        ("models: []\n - b", " line 2 is not YAML; allowed: a YAML mapping"),
        ("!!timestamp x", " is not YAML; allowed: a YAML mapping"),
        ("a: 2024-13-13", " is not YAML; allowed: a YAML mapping"),
        ("!!python/object/apply:os.abort []", " line 1 is not YAML; allowed: a YAML mapping"),
        ("[" * 100_000, " is not YAML; allowed: a YAML mapping"),
    ],
)
def test_a_wrong_file_gives_a_line_of_place_kind_and_what_is_allowed(
    configure: Configure, text: str, line: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        configure(text)
    assert caught.value.lines == (f"serve.yaml{line}",)


FLAG = "true or false"
COUNT = "a whole number from 1"
SECONDS = "seconds as a number above 0"
HEADER = "the name of a header: letters, digits and '-'"
VARIABLE = "the name of an environment variable, without its value"
EXACT = f"a whole number, or in quotes {NAME}"
VERSION = f"latest, a whole number, or in quotes {NAME}"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("version: 1.10", f"version is a number; allowed: {VERSION}"),
        ("version: 2024-01-01", f"version is a date; allowed: {VERSION}"),
        ("version: true", f"version is a boolean; allowed: {VERSION}"),
        ("version: a/b", f"version is text; allowed: {VERSION}"),
        ("preload: 1", f"preload is a whole number; allowed: {FLAG}"),
        ("required: 'true'", f"required is text; allowed: {FLAG}"),
        ("pin:", f"pin is empty; allowed: {FLAG}"),
        ("batching: 8", "batching is a whole number; allowed: a mapping"),
        ("batching: {max_rows: 0}", f"batching.max_rows is a whole number; allowed: {COUNT}"),
        ("batching: {max_rows: '8'}", f"batching.max_rows is text; allowed: {COUNT}"),
        (
            "batching: {rows: 8}",
            "batching.rows is an unknown key; allowed: max_rows; did you mean max_rows?",
        ),
        ("threads: true", f"threads is a boolean; allowed: {COUNT}"),
        ("threads: 1.5", f"threads is a number; allowed: {COUNT}"),
        ("timeout_s: 0", f"timeout_s is a whole number; allowed: {SECONDS}"),
        ("timeout_s: .nan", f"timeout_s is a number; allowed: {SECONDS}"),
        ("memory_bytes: 0", f"memory_bytes is a whole number; allowed: {BYTES}"),
        ("memory_bytes: true", f"memory_bytes is a boolean; allowed: {BYTES}"),
        ("memory_bytes: 2 GB", f"memory_bytes is text; allowed: {BYTES}"),
        ("labels: {stable: latest}", f"labels.stable is text; allowed: {EXACT}"),
        ("labels: {'a b': 1}", f"labels.'a b' is text; allowed: {NAME}"),
        ("traffic: {1: ninety}", "traffic[1] is text; allowed: a share as a number from 0"),
        ("traffic: {1: -1}", "traffic[1] is a whole number; allowed: a share as a number from 0"),
        (
            "traffic_by: a b",
            "traffic_by is text; allowed: the name of a header: letters, digits and '-'",
        ),
        ("shadow: [1]", f"shadow is a list; allowed: {EXACT}"),
        ("accelerate: on", "accelerate is a boolean; allowed: off, verify or shadow"),
        ("accelerate: fast", "accelerate is text; allowed: off, verify or shadow"),
        ("timeout_s: soon", f"timeout_s is text; allowed: {SECONDS}"),
        ("collect: /there", "collect is text; allowed: a mapping"),
        ("collect: {}", f"collect.to is missing; allowed: {PLACE}"),
        ("collect: {to: /there}", f"collect.to is text; allowed: {PLACE}"),
        ("collect: {to: azureml://workspace}", f"collect.to is text; allowed: {PLACE}"),
        ("collect: {to: https://a.blob/}", f"collect.to is text; allowed: {PLACE}"),
        (
            "collect: {to: file:///a, sample: 1.5}",
            "collect.sample is a number; allowed: a share as a number from 0 to 1",
        ),
        (
            "collect: {to: file:///a, columns: {drop: name}}",
            "collect.columns.drop is text; allowed: a list",
        ),
        (
            "collect: {to: file:///a, columns: {dorp: [a]}}",
            "collect.columns.dorp is an unknown key; allowed: drop, hash; did you mean drop?",
        ),
        (
            "collect: {to: file:///a, columns: {hash: [a]}}",
            f"collect is without salt; allowed: salt: {TOLD_SALT}, "
            "or salt_variable: the name of the variable that holds it",
        ),
        (
            "collect: {to: file:///a, salt: long enough, salt_variable: S}",
            "collect is with salt and salt_variable; allowed: one of them",
        ),
        (
            "collect: {to: file:///a, salt_variable: 5}",
            f"collect.salt_variable is a whole number; allowed: {VARIABLE}",
        ),
        (
            "collect: {to: file:///a, columns: {hash: [a]}, salt: short}",
            f"collect.salt is text; allowed: {TOLD_SALT}",
        ),
        (
            "collect: {to: file:///a, columns: {hash: [a], drop: [a]}, salt: long enough}",
            "collect is a column to drop and to hash; allowed: each column under one of them",
        ),
        ("environment: DB_KEY", "environment is text; allowed: a list"),
        ("environment: [{DB_KEY: x}]", f"environment[0] is a mapping; allowed: {VARIABLE}"),
        ("environment: [DB_KEY=x]", f"environment[0] is text; allowed: {VARIABLE}"),
        (
            "pinned: true",
            f"pinned is an unknown key; allowed: {MODEL_KEYS}; did you mean pin?",
        ),
        (
            "registry: fax",
            "registry is an unknown name; allowed: a name under registries: far; did you mean far?",
        ),
    ],
)
def test_a_wrong_key_of_a_model_gives_its_path(configure: Configure, keys: str, line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        configure(f"models: [ok, {{name: a, {keys}}}]\nregistries: {{far: {{url: /far}}}}")
    assert caught.value.lines == (f"serve.yaml: models[1].{line}",)


@pytest.mark.parametrize("twice", ["[a, a]", "[a, 'a:latest']", "['a:1', {name: a, version: 1}]"])
def test_a_model_named_twice_is_a_fault(configure: Configure, twice: str) -> None:
    with pytest.raises(SettingsError) as caught:
        configure(f"models: {twice}")
    line = "serve.yaml: models[1] is a name and version for the second time; allowed: each once"
    assert caught.value.lines == (line,)


def test_a_registry_that_nobody_defined_is_a_fault(configure: Configure) -> None:
    with pytest.raises(SettingsError) as caught:
        configure("models: [{name: a, registry: far}]")
    allowed = "a name under registries: there is none"
    assert caught.value.lines == (
        f"serve.yaml: models[0].registry is an unknown name; allowed: {allowed}",
    )


def test_without_another_the_first_registry_of_the_file_is_the_default_one(
    configure: Configure,
) -> None:
    settings = configure("registries: {west: {url: /west, trust: none}, east: {url: /east}}")
    assert settings.require_registry() == RegistrySettings("/west", trust="none")


def test_a_file_over_its_limit_is_not_parsed(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("#" * (2**20 + 1))
    line = f"SERVE_CONFIG is the path of a file over 1 MiB; allowed: {YAML_FILE}"
    assert faults(SERVE_CONFIG=str(config)) == [line]
    config.write_text("#" * 2**20)
    assert Settings.load({"SERVE_CONFIG": str(config)}).named_models is None


def test_the_file_wins_over_the_variable(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("models: [{name: a, version: 1, preload: false}]")
    settings = Settings.load({"SERVE_CONFIG": str(config), "SERVE_MODELS": "b:2,a:3,c"})
    assert settings.named_models == (
        ModelSettings(name="a", version="1", preload=False, required=False),
        ModelSettings(name="b", version="2", preload=True, required=True),
        ModelSettings(name="c", version=None, preload=True, required=True),
    )


def test_no_named_model_is_none() -> None:
    assert Settings.load({}).named_models is None
    assert Settings.load({}).registries == {}


# Variables that other tools named

OLDER = {"TENANT_ID": "t", "CLIENT_ID": "c", "CLIENT_SECRET": "hunter2"}
NEWER = {f"AZURE_{name}": value + "2" for name, value in OLDER.items()}
WORKSPACE = {"SUBSCRIPTION_ID": "s", "RESOURCE_GROUP": "g", "WORKSPACE_NAME": "w"}


def test_the_six_older_names_are_an_identity_and_a_workspace() -> None:
    settings = Settings.load({**OLDER, **WORKSPACE})
    azure = settings.azure
    assert settings.require_registry().url == "azureml://workspace"
    assert (azure.tenant_id, azure.client_id, azure.has_older_names) == ("t", "c", True)
    assert (azure.subscription_id, azure.resource_group, azure.workspace_name) == ("s", "g", "w")
    assert "hunter2" not in repr(settings)


def test_the_newer_names_of_an_identity_win_when_all_are_there() -> None:
    both = Settings.load({**OLDER, **NEWER}).azure
    assert (both.tenant_id, both.has_older_names) == ("t2", False)
    some = Settings.load({**OLDER, "AZURE_TENANT_ID": "t2"}).azure
    assert (some.tenant_id, some.has_older_names) == ("t", True)


@pytest.mark.parametrize("missing", WORKSPACE)
def test_two_thirds_of_a_workspace_are_none(missing: str) -> None:
    settings = Settings.load({**WORKSPACE, missing: " "})
    with pytest.raises(SettingsError):
        settings.require_registry()


@pytest.mark.parametrize(
    ("environ", "connection"),
    [
        ({}, None),
        ({"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=a"}, "InstrumentationKey=a"),
        ({"AML_APP_INSIGHTS_KEY": "b"}, "InstrumentationKey=b"),
        ({"AML_APP_INSIGHTS_KEY": "b", "AML_APP_INSIGHTS_ENABLED": "true"}, "InstrumentationKey=b"),
        ({"AML_APP_INSIGHTS_KEY": "b", "AML_APP_INSIGHTS_ENABLED": "False"}, None),
        ({"AML_APP_INSIGHTS_ENABLED": "false"}, None),
    ],
)
def test_insights_has_a_connection_string_or_the_older_key_and_switch(
    environ: dict[str, str], connection: str | None
) -> None:
    insights = Settings.load(environ).insights
    found = insights.connection_string
    assert (found and found.get_secret_value()) == connection
    assert insights.service_name == "aml-serve"


@pytest.mark.parametrize(
    ("value", "told"),
    [("true", "nothing says where to send"), ("maybe", "is text; allowed: true or false")],
)
def test_insights_that_cannot_be_are_refused(value: str, told: str) -> None:
    (line,) = faults(AML_APP_INSIGHTS_ENABLED=value)
    assert line.startswith("AML_APP_INSIGHTS_ENABLED is")
    assert told in line


def test_an_issuer_is_asked_over_tls_only() -> None:
    line = "SERVE_JWT_ISSUER[1] is text; allowed: an https:// URL"
    assert faults(SERVE_JWT_ISSUER="https://a, http://b") == [line]


def test_an_issuer_wants_an_audience() -> None:
    told = "SERVE_JWT_AUDIENCE is empty; allowed: whom the issuer's tokens are for"
    assert faults(SERVE_JWT_ISSUER="https://issuer") == [told]


def test_the_docs_have_one_row_for_each_variable_that_other_tools_named() -> None:
    table = DOCS.split("| other variable |")[1].split("\n\n")[0]
    told = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", table)) - {"SERVE_REGISTRY"}
    modules = (app.settings.azure, app.settings.dropin)
    read = "".join(map(inspect.getsource, modules))
    assert told == {n for n in re.findall(r"\b[A-Z]+(?:_[A-Z0-9]+)+\b", read) if n != "SERVE_"}


# The documentation


def rows(table: str) -> dict[str, str]:
    """Default by name, of the table whose first column has this heading."""
    body = DOCS.split(f"| {table} |")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `(\w[\w.]*)` \| ([^|]+) \|", body, re.MULTILINE))


def test_the_docs_have_one_row_for_each_setting() -> None:
    assert list(rows("variable")) == [
        f"SERVE_{name.upper()}" for name in Settings.model_fields if name not in FOREIGN
    ]


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_docs_tell_the_default(name: str) -> None:
    told = rows("variable")[f"SERVE_{name.upper()}"]
    if told == "none":
        assert DEFAULTS[name] is None
    else:
        text = told.strip("`").replace("~", "/home/me")
        settings = Settings.load({f"SERVE_{name.upper()}": text})
        assert getattr(settings, name) == DEFAULTS[name]


def test_the_docs_have_one_row_for_each_key_of_the_file() -> None:
    assert list(rows("key of `models`")) == MODEL_KEYS.replace(
        "batching", "batching.max_rows"
    ).split(", ")
    keys = [f.name for f in dataclasses.fields(CollectSettings)]
    at = keys.index("columns")
    keys[at : at + 1] = [f"columns.{f.name}" for f in dataclasses.fields(ColumnsSettings)]
    assert list(rows("key of `collect`")) == keys
    assert list(rows("key of a registry")) == [f.name for f in dataclasses.fields(RegistrySettings)]


def test_the_example_in_the_docs_is_a_right_file(configure: Configure) -> None:
    example = DOCS.split("```yaml\n")[1].split("```")[0]
    models = configure(example).named_models
    assert [(m.name, m.version, m.required) for m in models or ()] == [
        ("credit-risk", "3", True),
        ("churn", "1.10", False),
        ("iris", None, True),
    ]


def test_each_setting_has_a_docstring() -> None:
    (found,) = (
        node
        for node in ast.parse(inspect.getsource(app.settings.variables)).body
        if isinstance(node, ast.ClassDef)
    )
    told = {
        field.target.id
        for field, text in zip(found.body, found.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
    }
    assert told == set(Settings.model_fields)


@pytest.mark.parametrize("origins", ["*", "https://a.example, https://b.example", r"https://.*\.a"])
def test_origins_are_listed_or_described(origins: str) -> None:
    settings = Settings.load({"AML_CORS_ORIGINS": origins})

    assert settings.cors_origins == tuple(origins.split(", "))


@pytest.mark.parametrize("origins", ["https://a.example,https://[", "*,*.example"])
def test_an_origin_that_is_no_expression_is_told_by_its_place(origins: str) -> None:
    with pytest.raises(SettingsError, match=r"AML_CORS_ORIGINS: entry 2 is no origin.*; allowed"):
        Settings.load({"AML_CORS_ORIGINS": origins})
