"""One model behind FastAPI with pydantic models of request and answer."""

import os
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from bench.model import load, named

Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Customer(BaseModel):
    """One row of W5."""

    age: Annotated[int, Field(ge=18, le=120)]
    dependents: Annotated[int, Field(ge=0, le=20)]
    region: Literal["north", "east", "south", "west"]
    sales_channel: Literal["shop", "phone", "web", "partner"]
    tenure_months: Annotated[int, Field(ge=0, le=1200)]
    contract: Literal["monthly", "one-year", "two-year"]
    plan: Literal["basic", "standard", "premium"]
    internet: Literal["none", "dsl", "cable", "fiber"]
    payment_method: Literal["card", "debit", "transfer", "check"]
    paperless_billing: bool
    monthly_charge: Amount
    discount_percent: Annotated[float, Field(ge=0, le=100)]
    data_gb: Amount
    call_minutes: Amount
    international_minutes: Amount
    roaming_days: Annotated[int, Field(ge=0, le=31)]
    support_calls: Annotated[int, Field(ge=0, le=1000)]
    late_payments: Annotated[int, Field(ge=0, le=12)]
    outage_hours: Amount
    satisfaction: Annotated[float, Field(ge=1, le=5)] | None


class Table(BaseModel):
    """Rows of numbers."""

    data: list[list[float]]


class Images(BaseModel):
    """Images as `(n, channels, height, width)`."""

    data: list[list[list[list[float]]]]


class Customers(BaseModel):
    """Rows with named columns."""

    data: list[Customer]


class Answer(BaseModel):
    """A score per row."""

    results: list[list[float]] | list[str]


FORMS: dict[str, Any] = {"W4": Images, "W5": Customers}
Form = FORMS.get(os.environ["BENCH_WORKLOAD"], Table)

app = FastAPI()
predict = load(named())


@app.post("/predict")
def score(request: Form) -> Answer:  # type: ignore[valid-type]  # chosen by the workload
    """Score `{"data": rows}`."""
    given: Any = request
    rows = given.model_dump()["data"] if Form is Customers else given.data
    return Answer(results=predict(rows).tolist())
