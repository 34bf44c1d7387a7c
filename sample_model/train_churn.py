"""Train the sample models `churn` and `churn_script`: which customers of a phone company leave?

The customers are synthetic: drawn from a seeded generator, with churn depending on combinations of
columns. Version 1 is naive Bayes, which looks at each column on its own; version 2 is a decision
tree, which does not have to, and is more accurate on the same held-out customers. Both take a
pandas frame and answer "stays" or "churns". `churn_script` is version 2 behind a scoring script.
"""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import sklearn
import yaml
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).parent
SEED = 2018
ROWS = 8000
CONFIDENT = 0.8  # both versions give a golden row's class at least this probability


def integer(description: str, maximum: int, minimum: int = 0) -> dict[str, Any]:
    """Schema of a column of whole numbers."""
    bounds = {"minimum": minimum, "maximum": maximum}
    return {"type": "integer", **bounds, "description": description}


def number(description: str, maximum: int) -> dict[str, Any]:
    """Schema of a column of numbers, none below zero."""
    return {"type": "number", "minimum": 0, "maximum": maximum, "description": description}


def category(description: str, *names: str) -> dict[str, Any]:
    """Schema of a column of texts that are one of `names`."""
    return {"type": "string", "enum": list(names), "description": description}


PROPERTIES: dict[str, dict[str, Any]] = {
    "age": integer("Age in years", 120, minimum=18),
    "dependents": integer("People in the household who depend on the customer", 20),
    "region": category("Sales region", "north", "east", "south", "west"),
    "sales_channel": category("Where the contract was made", "shop", "phone", "web", "partner"),
    "tenure_months": integer("Months since the customer joined", 1200),
    "contract": category("Length of the contract", "monthly", "one-year", "two-year"),
    "plan": category("Tariff", "basic", "standard", "premium"),
    "internet": category("Kind of the internet connection", "none", "dsl", "cable", "fiber"),
    "payment_method": category("How bills are paid", "card", "debit", "transfer", "check"),
    "paperless_billing": {"type": "boolean", "description": "Bills come by e-mail only"},
    "monthly_charge": number("Last monthly bill in dollars", 100_000),
    "discount_percent": number("Discount on the bill", 100),
    "data_gb": number("Mobile data used last month, gigabytes", 100_000),
    "call_minutes": number("Minutes of calls last month", 44_640),
    "international_minutes": number("Minutes of international calls last month", 44_640),
    "roaming_days": integer("Days abroad last month", 31),
    "support_calls": integer("Calls to customer service in the last 90 days", 1000),
    "late_payments": integer("Bills paid late in the last year", 12),
    "outage_hours": number("Hours without service in the last 90 days", 2_160),
    "satisfaction": {
        "type": ["number", "null"],
        "minimum": 1,
        "maximum": 5,
        "description": "Answer to the last survey, 1 (bad) to 5 (good); null if there was none",
    },
}
CATEGORIES = [name for name, spec in PROPERTIES.items() if "enum" in spec]
FLAGS = [name for name, spec in PROPERTIES.items() if spec["type"] == "boolean"]
NUMBERS = [name for name in PROPERTIES if name not in CATEGORIES + FLAGS]


def draw_customers(rng: np.random.Generator) -> pd.DataFrame:
    """ROWS customers, every column of PROPERTIES in its order; each satisfaction is still known."""
    drawn: dict[str, Any] = {
        name: rng.choice(PROPERTIES[name]["enum"], ROWS).astype(object) for name in CATEGORIES
    }
    drawn |= {
        "age": rng.integers(18, 86, ROWS),
        "dependents": rng.poisson(0.8, ROWS),
        "tenure_months": rng.integers(0, 73, ROWS),
        "paperless_billing": rng.random(ROWS) < 0.6,
        "discount_percent": rng.choice([0.0, 2.5, 5.0, 10.0, 15.0], ROWS),
        "data_gb": rng.gamma(2.0, 12.0, ROWS).round(1),
        "call_minutes": rng.gamma(3.0, 90.0, ROWS).round(1),
        "international_minutes": rng.exponential(15.0, ROWS).round(1),
        "roaming_days": rng.poisson(0.7, ROWS),
        "support_calls": rng.poisson(1.6, ROWS),
        "late_payments": rng.binomial(12, 0.08, ROWS),
        "outage_hours": rng.gamma(1.5, 3.0, ROWS).round(1),
        "satisfaction": rng.uniform(1.0, 5.0, ROWS).round(1),
    }
    price = pd.Series({"basic": 20.0, "standard": 35.0, "premium": 55.0})
    line = pd.Series({"none": 0.0, "dsl": 15.0, "cable": 25.0, "fiber": 35.0})
    charge = price[drawn["plan"]].to_numpy() + line[drawn["internet"]].to_numpy()
    drawn["monthly_charge"] = (charge + rng.uniform(0.0, 15.0, ROWS)).round(2)
    return pd.DataFrame(drawn)[list(PROPERTIES)]


def draw_churn(customers: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.str_]:
    """Who leaves. Most reasons need two columns at once, and two of them are an exclusive or."""
    c = customers
    heavy_user, bound = c.data_gb > 24, c.contract != "monthly"
    risk = (
        -4.0
        + 4.0 * (~bound & (c.tenure_months < 18))
        + 4.0 * ((c.internet == "fiber") & (c.outage_hours > 5))
        + 4.0 * ((c.support_calls >= 3) & (c.satisfaction < 3))
        + 3.0 * ((c.plan == "premium") ^ heavy_user)
        + 2.0 * ((c.monthly_charge > 80) & (c.discount_percent < 5))
        + 0.5 * c.late_payments
        - 2.5 * bound
    )
    leaves = rng.random(ROWS) < 1 / (1 + np.exp(-2 * risk))
    return np.where(leaves, "churns", "stays")


def build_pipeline(classifier: ClassifierMixin, *number_steps: TransformerMixin) -> Pipeline:
    """Frame of customers -> class; numbers are imputed, then go through `number_steps`."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), *number_steps), NUMBERS),
            (
                "categories",
                OneHotEncoder(
                    categories=[PROPERTIES[name]["enum"] for name in CATEGORIES],
                    handle_unknown="ignore",
                    sparse_output=False,
                ),
                CATEGORIES,
            ),
            ("flags", "passthrough", FLAGS),
        ]
    )
    return Pipeline([("columns", columns), ("classifier", classifier)])


def records(customers: pd.DataFrame) -> list[dict[str, Any]]:
    """The customers as JSON would have them: null for a missing number, no numpy types."""
    rows: list[dict[str, Any]] = json.loads(customers.to_json(orient="records"))
    return rows


def choose_customers(held_out: pd.DataFrame, models: list[Pipeline]) -> pd.DataFrame:
    """Two held-out customers who stay and two who leave, of whom all models are sure.

    The first and the third have answered the survey; the second and the fourth have not.
    """
    sure = np.min([model.predict_proba(held_out) for model in models], axis=0) > CONFIDENT
    answered = held_out.satisfaction.notna().to_numpy()
    churns, stays = sure.T
    picks = [stays & answered, churns & ~answered, churns & answered, stays & ~answered]
    return held_out.iloc[[int(np.argmax(pick)) for pick in picks]]


def golden_file(model: Pipeline, customers: pd.DataFrame) -> list[dict[str, Any]]:
    """Requests to `/score` and what `model` answers: one customer and all, classes and more."""
    rows, both = records(customers), ["label", "probabilities"]
    labels = model.predict(customers).tolist()
    probabilities = model.predict_proba(customers).tolist()
    entries: list[tuple[dict[str, Any], Any]] = [
        ({"data": rows[0]}, labels[0]),
        ({"data": rows}, labels),
        ({"data": rows, "outputs": both}, {"label": labels, "probabilities": probabilities}),
        (
            {"data": rows[1], "outputs": both},
            {"label": labels[1], "probabilities": probabilities[1]},
        ),
    ]
    return [
        {"request": request, "results": results, "tolerance": 1e-6} for request, results in entries
    ]


def schema_file(customers: pd.DataFrame) -> dict[str, Any]:
    """JSON Schema of one customer."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Customer",
        "type": "object",
        "properties": PROPERTIES,
        "required": list(PROPERTIES),
        "examples": records(customers)[:2],
    }


def write_folder(
    folder: Path, model: Pipeline, manifest: dict[str, Any], customers: pd.DataFrame
) -> None:
    """Write all files of one version; `customers` become its examples and golden rows."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / "model.joblib", compress=9)
    for name, content in [
        ("schema.json", schema_file(customers)),
        ("golden.json", golden_file(model, customers)),
    ]:
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, width=100))
    (folder / "requirements.txt").write_text(
        f"numpy=={np.__version__}\nscikit-learn=={sklearn.__version__}\n"
    )


def write_script_folder(folder: Path, model: Pipeline, customers: pd.DataFrame) -> None:
    """All that its score.py needs; the request is what its decorators are told of."""
    rows = records(customers)
    labels = model.predict(customers).tolist()
    manifest = {"description": "Will this customer leave? Version 2 of churn behind a score.py."}
    write_folder(folder, model, manifest, customers)
    (folder / "schema.json").unlink()  # requests are the script's business
    golden = [{"request": {"data": rows}, "results": {"results": labels}}]
    for name, content in [("golden.json", golden), ("request.json", {"data": rows[:2]})]:
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Draw the customers, train both versions, print their accuracies, write their folders."""
    rng = np.random.default_rng(SEED)
    customers = draw_customers(rng)
    classes = draw_churn(customers, rng)
    customers.loc[rng.random(ROWS) < 0.15, "satisfaction"] = np.nan
    train, held_out, train_classes, held_out_classes = train_test_split(
        customers, classes, test_size=0.25, random_state=SEED, stratify=classes
    )
    bins = KBinsDiscretizer(n_bins=8, encode="onehot-dense", strategy="uniform")
    tree = DecisionTreeClassifier(max_depth=9, min_samples_leaf=15, random_state=SEED)
    models = {
        "naive Bayes": build_pipeline(BernoulliNB(), bins),
        "decision tree": build_pipeline(tree),
    }
    print(f"churn: {np.mean(held_out_classes == 'stays'):.3f} of the held-out customers stay")
    accuracies = []
    for algorithm, model in models.items():
        accuracies.append(model.fit(train, train_classes).score(held_out, held_out_classes))
        print(f"churn {len(accuracies)}: {algorithm}, held-out accuracy {accuracies[-1]:.3f}")
    assert accuracies[1] > accuracies[0], "version 2 is meant to be the better one"

    chosen = choose_customers(held_out, list(models.values()))
    for version, (algorithm, model) in enumerate(models.items(), start=1):
        manifest = {
            "description": f"Will this customer leave? Synthetic data, {algorithm}.",
            "tags": {"algorithm": algorithm, "held_out_accuracy": f"{accuracies[version - 1]:.3f}"},
        }
        write_folder(HERE / "churn" / str(version), model, manifest, chosen)
    write_script_folder(HERE / "churn_script" / "1", models["decision tree"], chosen)


if __name__ == "__main__":
    main()
