"""What the clients of older versions send to /score, over HTTP, and what they get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

from tests.server import CLAIM, CUSTOMERS, SAMPLES, Server, serving

NAMES = list(CUSTOMERS[0])
ROWS = [list(customer.values()) for customer in CUSTOMERS]
FRAME = pd.DataFrame(CUSTOMERS)
TEXTS = ["My house is on fire", "Someone hit my car while it was parked"]

BATCHES: dict[str, Any] = {
    "records": CUSTOMERS,
    "rows": ROWS,
    "columns of lists": {name: [c[name] for c in CUSTOMERS] for name in NAMES},
    "df.to_json()": FRAME.to_json(),
    "df.to_json(), decoded": json.loads(FRAME.to_json()),
    "df.to_json(orient=columns), shuffled": FRAME[NAMES[::-1]].to_json(orient="columns"),
    "df.to_json(orient=split)": FRAME.to_json(orient="split"),
    "df.to_json(orient=split), decoded": json.loads(FRAME.to_json(orient="split")),
    "df.to_json(orient=split, index=False)": FRAME.to_json(orient="split", index=False),
    "df.to_json(orient=records)": FRAME.to_json(orient="records"),
    "df.to_json(orient=values)": FRAME.to_json(orient="values"),
    "df.to_dict(orient=list)": FRAME.astype(object).where(FRAME.notna(), None).to_dict("list"),
}
RECORDS: dict[str, Any] = {
    "an object": CUSTOMERS[0],
    "a row": ROWS[0],
    "an object as text": json.dumps(CUSTOMERS[0]),
    "a row as text": json.dumps(ROWS[0]),
    "an object, other order": dict(reversed(CUSTOMERS[0].items())),
}


@pytest.mark.parametrize(("text", "expected"), [(TEXTS[0], 0), (TEXTS[1], 1)])
def test_the_client_of_2021_gets_what_it_got(samples: Server, text: str, expected: int) -> None:
    answer = samples.post(f"/score?model_name={CLAIM}", json={"data": text})
    assert (answer.status_code, answer.json()) == (200, {"results": expected})


def test_the_healthcheck_of_2021_has_its_two_keys(samples: Server) -> None:
    told = samples.get("/healthcheck").json()
    assert (told["HealthStatus"], told["WorkspaceDetails"]) == ("Okay", "{}")


@pytest.mark.parametrize("form", BATCHES)
def test_every_form_of_a_table_gives_a_list_of_results(samples: Server, form: str) -> None:
    assert samples.score("churn", BATCHES[form]) == ["stays", "churns"]


@pytest.mark.parametrize("form", RECORDS)
def test_every_form_of_one_record_gives_one_result(samples: Server, form: str) -> None:
    assert samples.score("churn", RECORDS[form]) == "stays"


@pytest.mark.parametrize(
    "data",
    [
        TEXTS,
        {"text": TEXTS},
        [{"text": text} for text in TEXTS],
        {"text": {"0": TEXTS[0], "1": TEXTS[1]}},
        {"columns": ["text"], "index": [0, 1], "data": [[TEXTS[0]], [TEXTS[1]]]},
    ],
)
def test_every_form_of_texts_gives_a_list_of_results(samples: Server, data: Any) -> None:
    assert samples.score(CLAIM, data) == [0, 1]


@pytest.mark.parametrize("data", [TEXTS[0], {"text": TEXTS[0]}])
def test_one_text_gives_one_result(samples: Server, data: Any) -> None:
    assert samples.score(CLAIM, data) == 0


def test_a_text_that_starts_like_json_stays_a_text_for_a_model_of_texts(samples: Server) -> None:
    assert samples.score(CLAIM, '["My house is on fire"') == 0


@pytest.mark.parametrize(("model", "data"), [("churn", CUSTOMERS[0]), (CLAIM, TEXTS[0])])
def test_outputs_asked_for_come_as_an_object(samples: Server, model: str, data: Any) -> None:
    asked = ["label", "probabilities"]
    single = samples.score(model, data, outputs=asked)
    batch = samples.score(model, [data, data], outputs=asked)
    assert list(single) == list(batch) == asked
    assert batch["label"] == [single["label"]] * 2
    assert sum(single["probabilities"]) == pytest.approx(1)


def test_input_data_is_answered_bare(samples: Server) -> None:
    assert samples.post("/score/churn", json={"input_data": CUSTOMERS}).json() == [
        "stays",
        "churns",
    ]
    assert samples.post(f"/score/{CLAIM}", json={"input_data": TEXTS[1]}).json() == 1


def test_an_empty_list_is_answered_without_the_model(samples: Server) -> None:
    answer = samples.post("/score/churn", json={"data": []})
    assert answer.json() == {"results": []}
    assert "x-ms-run-fn-exec-ms" not in answer.headers


BAD_ROWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "text in a number column": ({"age": "SECRET"}, '"age"', "a string"),
    "a null": ({"age": None}, '"age"', "null"),
    "an unknown category": ({"region": "SECRET"}, '"region"', "a string"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_a_bad_value_in_a_table_is_refused_with_its_place(samples: Server, fault: str) -> None:
    change, column, got = BAD_ROWS[fault]
    answer = samples.post("/score/churn", json={"data": [CUSTOMERS[0], CUSTOMERS[0] | change]})
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "schema-mismatch")
    assert told["message"].startswith(f"row 1, column {column}: expected ")
    assert [(e["row"], e["column"]) for e in told["errors"]] == [(1, column.strip('"'))]
    assert told["errors"][0]["got"].startswith(got)
    _says_nothing(answer.text)


@pytest.mark.parametrize(
    ("model", "body", "status", "place"),
    [
        ("churn", json.dumps({"data": [ROWS[0], ROWS[0][:-1]]}), 422, "row 1"),
        ("churn", json.dumps({"data": [row[:5] for row in ROWS]}), 422, "20 values"),
        ("churn", json.dumps({"data": {**CUSTOMERS[0], "age": "SECRET"}}), 422, '"age"'),
        ("churn", '{"data": [[1, 2,]]}', 400, "line 1"),
        ("churn", '{"data": SECRET}', 400, "line 1"),
        (CLAIM, '{"data": ["a", 7]}', 422, "row 1"),
        (CLAIM, '{"data": ["a", ["SECRET"]]}', 422, "row 1"),
        (CLAIM, '{"data": ["a", null]}', 422, "row 1"),
        (CLAIM, '{"data": {"txt": "SECRET"}}', 422, '"text"'),
        (CLAIM, '{"data": "SECRET', 400, "line 1"),
        (CLAIM, '{"data": NaN}', 400, "null"),
    ],
)
def test_the_faults_that_others_get_wrong_are_named(
    samples: Server, model: str, body: str, status: int, place: str
) -> None:
    answer = samples.post(
        f"/score/{model}", data=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert place in answer.json()["message"]
    _says_nothing(answer.text)


def _says_nothing(text: str) -> None:
    for word in ("Traceback", "File", "site-packages", ".py", "SECRET", str(SAMPLES)):
        assert word not in text


def test_the_notebook_runs_from_its_first_cell_to_its_last(samples: Server) -> None:
    assert _run_notebook(samples, "") == "{'results': 'stays'}"


def test_the_notebook_runs_with_a_key() -> None:
    with serving(SERVE_API_KEYS="a-key") as server:
        assert _run_notebook(server, "a-key") == "{'results': 'stays'}"


def _run_notebook(server: Server, key: str) -> str:
    """Every code cell in one process; what the last one shows."""
    notebook = json.loads((SAMPLES / "client.ipynb").read_text("utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    code = "\n".join([*cells[:-1], f"print({cells[-1]})"])
    environ = {**os.environ, "SCORING_URL": server.url, "SCORING_KEY": key}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SAMPLES, env=environ, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()
