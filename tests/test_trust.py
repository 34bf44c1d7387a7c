"""What the files of a model may do, by rule and by digest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import skops.io

from app import manifest
from app.errors import ModelInvalid
from app.pool import Loaded, Options, Pool
from app.runtimes import load
from app.tensors import ModelRef
from app.trust import EVERYTHING, Rule, Trust, exposed
from tests import models, odd_models
from tests.serving import Serving, serving

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("rule", "listed", "told"),
    [
        ("all", [], ""),
        ("all", [DIGEST], ""),
        ("all", ["cd" * 32], f"its trust is all and its digest is not listed; .*sha256: {DIGEST}"),
        ("pinned", [DIGEST, "cd" * 32], ""),
        ("pinned", [], f"is pinned and its digest is not listed; .* add sha256: {DIGEST} to the"),
        ("none", [], "its trust is none, so no code of it may run; serve it as ONNX"),
        ("none", [DIGEST], "its trust is none"),
    ],
)
def test_code_runs_where_the_rule_lets_it(rule: Rule, listed: list[str], told: str) -> None:
    refusal = Trust(rule, frozenset(listed)).refusal(DIGEST)

    assert bool(refusal) == bool(told)
    assert re.search(told, refusal)


def test_what_others_may_change_is_found(tmp_path: Path) -> None:
    folder = models.save(tmp_path / "model", "model.pkl", b"")
    (folder / "link").symlink_to("model.pkl")
    assert exposed(folder) == ""

    (folder / "model.pkl").chmod(0o664)
    assert exposed(folder) == "model.pkl"
    folder.chmod(0o757)
    assert exposed(folder) == "."
    folder.chmod(0o700)
    assert exposed(folder) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_belongs_to_somebody_else_is_found(tmp_path: Path) -> None:
    folder = models.save(tmp_path / "model", "model.pkl", b"")
    os.chown(folder / "model.pkl", 4711, 0)

    assert exposed(folder) == "model.pkl"


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl"])
def test_a_pickle_that_may_not_run_is_refused_unread_with_what_it_would_import(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joblib.load", None)  # nothing may get as far
    folder = models.save_sklearn(tmp_path / "model", odd_models.Odd())
    (folder / "model.joblib").rename(folder / name)

    with pytest.raises(ModelInvalid) as caught:
        load(manifest.read(folder), 1, "its trust is none")

    assert str(caught.value) == (
        f"{name} is a pickle, which is code: its trust is none (it would import "
        "tests.odd_models.Odd; not of numpy, scipy or scikit-learn: tests.odd_models.Odd)"
    )


def test_skops_is_served_without_trust_when_its_types_are_trusted(tmp_path: Path) -> None:
    content = skops.io.dumps(models.frame_classifier())
    folder = models.save(tmp_path, "model.skops", content)

    assert load(manifest.read(folder), 1, "its trust is none").signature.result == "label"


def test_skops_with_types_of_its_own_wants_trust(tmp_path: Path) -> None:
    folder = models.save(tmp_path, "model.skops", skops.io.dumps(odd_models.Odd()))
    told = r"types that skops does not trust: tests\.odd_models\.Odd: its trust is none"

    with pytest.raises(ModelInvalid, match=told):
        load(manifest.read(folder), 1, "its trust is none")
    assert load(manifest.read(folder), 1).signature.result == "variable"


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    with serving(tmp_path, monkeypatch) as parts:
        for name in ("pickled", "slow"):
            models.save_sklearn(parts.folder / name / "1", models.classifier())
        models.identity(parts.folder / "graph" / "1")
        yield parts


async def loaded(pool: Pool, parts: Serving, name: str, trust: Trust) -> Loaded:
    ref = ModelRef("default", name, "1")
    return await pool.load(ref, parts.registry, Options(trust=trust), lambda _: None)


def digest_of(parts: Serving, name: str) -> str:
    return manifest.digest(parts.folder / name / "1")


async def test_a_pinned_model_runs_when_its_digest_is_listed(parts: Serving) -> None:
    digest = digest_of(parts, "pickled")
    with pytest.raises(ModelInvalid, match=f"add sha256: {digest} to the model in the config"):
        await loaded(parts.pool(), parts, "pickled", Trust("pinned"))

    found = await loaded(parts.pool(), parts, "pickled", Trust("pinned", frozenset({digest})))
    assert found.digest == digest


async def test_a_pinned_model_in_a_folder_that_others_may_write_is_not_run(parts: Serving) -> None:
    trust = Trust("pinned", frozenset({digest_of(parts, "pickled")}))
    (parts.folder / "pickled" / "1" / "model.joblib").chmod(0o666)

    with pytest.raises(ModelInvalid, match=r"others may change model\.joblib .*chmod -R go-w"):
        await loaded(parts.pool(), parts, "pickled", trust)
    assert (await loaded(parts.pool(), parts, "pickled", EVERYTHING)).digest


@pytest.mark.parametrize("rule", ["all", "pinned", "none"])
async def test_files_other_than_those_listed_are_refused_whatever_they_are(
    parts: Serving, rule: Rule
) -> None:
    trust = Trust(rule, frozenset({DIGEST}))

    with pytest.raises(ModelInvalid, match=f"add sha256: {digest_of(parts, 'graph')} to the"):
        await loaded(parts.pool(), parts, "graph", trust)


@pytest.mark.parametrize("rule", ["all", "pinned", "none"])
async def test_a_graph_is_no_code(parts: Serving, rule: Rule) -> None:
    assert (await loaded(parts.pool(), parts, "graph", Trust(rule))).digest
