"""What every runtime owes, whatever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import golden, manifest
from app.differences import differences
from app.errors import ModelInvalid
from app.runtimes import RUNTIMES, load
from app.schema import Schema
from app.schema.results import plain
from app.tensors import Batch, Model, storage
from tests.models import CONTRACT_MODELS, batch_of

DTYPES = {"string", "datetime", "any", "bfloat16", "bool"} | {
    f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)
}


@pytest.fixture(params=CONTRACT_MODELS)
def model(request: pytest.FixtureRequest, model_folders: Mapping[str, Path]) -> Model:
    return load(manifest.read(model_folders[request.param]), 1)


def every_output(model: Model, batch: Batch) -> Mapping[str, Any]:
    return model.predict(batch, tuple(spec.name for spec in model.signature.outputs))


def test_every_runtime_has_a_model_here(model_folders: Mapping[str, Path]) -> None:
    tried = {manifest.read(folder).runtime for folder in model_folders.values()}

    assert tried == RUNTIMES.keys() - {"script"}  # whole requests, of which it tells nothing


def test_an_unknown_runtime_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="no runtime 'abacus'; known: boosters, onnx"):
        load(manifest.Manifest(tmp_path, tmp_path / "model.onnx", "abacus"), 1)


def test_the_signature_is_complete(model: Model) -> None:
    signature = model.signature
    specs = (*signature.inputs, *signature.outputs)

    assert signature.inputs
    assert signature.result in {*(s.name for s in signature.outputs), *signature.aliases}
    assert all(spec.name and spec.dtype in DTYPES and spec.shape for spec in specs)
    assert len({spec.name for spec in signature.inputs}) == len(signature.inputs)
    assert signature.batched
    assert not signature.guessed


def test_a_prediction_has_exactly_the_outputs_asked_for(model: Model) -> None:
    batch = batch_of(model)
    for spec in model.signature.outputs:
        assert model.predict(batch, (spec.name,)).keys() == {spec.name}

    assert every_output(model, batch).keys() == {spec.name for spec in model.signature.outputs}


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_outputs_have_the_rows_first_and_the_types_and_sizes_of_the_signature(
    model: Model, rows: int
) -> None:
    found = every_output(model, batch_of(model, rows=rows))

    for spec in model.signature.outputs:
        assert found[spec.name].dtype == storage(spec.dtype)
        assert found[spec.name].shape[0] == rows
        assert len(found[spec.name].shape) == len(spec.shape)
        sizes = zip(spec.shape, found[spec.name].shape, strict=True)
        assert all(wanted in (None, got) for wanted, got in sizes)


def test_one_row_alone_is_answered_as_among_others(model: Model) -> None:
    batch = batch_of(model)
    together = every_output(model, batch)

    for row in range(batch.rows):
        alone = Batch({name: a[row : row + 1] for name, a in batch.arrays.items()}, 1)
        for name, output in every_output(model, alone).items():
            wanted = plain(together[name][row : row + 1])
            assert list(differences(plain(output), wanted, 1e-6)) == []


def test_two_threads_at_once_agree_with_one(model: Model) -> None:
    batches = [batch_of(model, rows=rows) for rows in (1, 3)] * 10
    alone = [plain(every_output(model, batch)) for batch in batches]

    with ThreadPoolExecutor(2) as threads:
        together = [plain(p) for p in threads.map(lambda b: every_output(model, b), batches)]

    assert together == alone


def test_a_prediction_leaves_its_batch_as_it_was(model: Model) -> None:
    batch = batch_of(model)
    before = {name: array.copy() for name, array in batch.arrays.items()}

    every_output(model, batch)

    assert all(np.array_equal(batch.arrays[name], array) for name, array in before.items())


def test_every_name_of_an_output_leads_to_it(model: Model) -> None:
    signature = model.signature
    names = [spec.name for spec in signature.outputs]

    assert signature.canonical(names) == tuple(names)
    assert signature.canonical([*names, *names]) == tuple(names)
    assert all(signature.canonical([alias]) == (n,) for alias, n in signature.aliases.items())
    assert signature.canonical([signature.result])[0] in names


def test_the_check_at_load_finds_that_calls_may_be_joined(model: Model) -> None:
    verdict = golden.check(model, Schema(model.signature), None)

    assert verdict.checked == "made-up rows: 2"
    assert verdict.joinable, verdict.joining
    assert 0 < verdict.predict_s < 1
