"""What lies in a model folder, by the rules of its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app import manifest
from app.errors import ModelInvalid
from app.manifest import Manifest


def folder_of(root: Path, **files: str | bytes) -> Path:
    """`model_onnx` stands for model.onnx."""
    root.mkdir(exist_ok=True)
    for name, content in files.items():
        content = content.encode() if isinstance(content, str) else content
        (root / name.replace("_", ".")).write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("m.onnx", "onnx"),
        ("m.joblib", "sklearn"),
        ("m.pkl", "sklearn"),
        ("m.pickle", "sklearn"),
        ("m.skops", "sklearn"),
        ("m.cbm", "boosters"),
        ("m.ubj", "boosters"),
    ],
)
def test_a_bare_model_file_is_a_whole_model(tmp_path: Path, name: str, runtime: str) -> None:
    (tmp_path / name).touch()

    assert manifest.read(tmp_path) == Manifest(tmp_path, tmp_path / name, runtime)
    assert manifest.holds_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("m.txt", "tree\nversion=v4\n"),
        ("m.txt", "tree\r\nversion=v4"),
        ("m.json", ' {\n "learner": {'),
    ],
)
def test_a_booster_is_told_by_how_its_file_begins(tmp_path: Path, name: str, begins: str) -> None:
    for other in ("schema.json", "notes.txt", "words.json", "requirements.txt", "swagger.json"):
        (tmp_path / other).write_text("{}")
    assert not manifest.holds_model(tmp_path)
    (tmp_path / name).write_text(begins)

    assert manifest.holds_model(tmp_path)
    found = manifest.read(tmp_path)
    assert (found.file.name, found.runtime) == (name, "boosters")


def test_every_key_of_a_manifest_is_read(tmp_path: Path) -> None:
    stated = """
        runtime: onnx
        file: model.onnx
        classes: [home, 1, true]
        outputs: probabilities
        conda: conda.yaml
        batching: {max_rows: 4}
        threads: 2
        timeout_s: 1.5
        memory_bytes: 3M
        description: A model.
        tags: {team: claims, 1: 2.5}
    """
    folder_of(tmp_path, model_onnx="", other_onnx="", conda_yaml="dependencies: [numpy=1.26]")
    found = manifest.read(folder_of(tmp_path, manifest_yaml=stated))

    assert (found.runtime, found.file.name) == ("onnx", "model.onnx")
    assert (found.classes, found.result) == (("home", 1, True), "probabilities")
    assert (found.max_rows, found.threads, found.timeout_s) == (4, 2, 1.5)
    assert (found.memory_bytes, found.requirements) == (3_000_000, {"numpy": "1.26.*"})
    assert (found.description, found.tags) == ("A model.", {"team": "claims", "1": "2.5"})


WRONG = {
    "runtime: 1": "runtime must be a text",
    "file: [model.onnx]": "file must be a text",
    "description: {a: b}": "description must be a text",
    "classes: home": "classes must be a list",
    "tags: [a]": "tags must be a mapping",
    "batching: 4": "batching must be a mapping",
    "outputs:": "outputs must be a text",
    "threads: two": "threads must be a number",
    "threads: true": "threads must be a number",
    "threads: 1.5": "threads must be a number",
    "threads: 0": "threads must be a whole number of 1 or more",
    "timeout_s: soon": "timeout_s must be a number",
    "timeout_s: 0": "timeout_s must be a number of seconds above 0",
    "timeout_s: -1": "timeout_s must be a number of seconds above 0",
    "timeout_s: .nan": "timeout_s must be a number of seconds above 0",
    "timeout_s: .inf": "timeout_s must be a number of seconds above 0",
    "memory_bytes: 0": "memory_bytes must be bytes as a whole number from 1",
    "memory_bytes: 1.5": "memory_bytes must be bytes as a whole number from 1",
    "memory_bytes: 2 GB": "memory_bytes must be bytes as a whole number from 1",
    "batching: {max_rows: 0}": "max_rows must be a whole number of 1 or more",
    "batching: {max_rows: true}": "max_rows must be a whole number of 1 or more",
    "batching: {max_rows: 1.5}": "max_rows must be a whole number of 1 or more",
    "batching: {rows: 1, 2: 3}": "unknown key batching.2; known: max_rows",
    "runtme: onnx": "unknown key 'runtme'; did you mean runtime?",
    "colour: blue": "unknown key 'colour'; known: batching, classes",
    "1: 2": "unknown key 1; known: ",
    "- a\n- b": "must be a mapping",
    "just a text": "must be a mapping",
    "a: [1": "is not YAML (line 1)",
    "a: b\n  c: d": "is not YAML (line 2)",
    "a: !!python/object:os.system x": "is not YAML (line 1)",
    "tags: {built: 2024-02-30}": "is not YAML",
    "a: \x00": "is not YAML",
    "[" * 2000: "is not YAML",
    "file: ../other.onnx": "names '../other.onnx', which is not in the model folder",
    "file: /etc/hostname": "names '/etc/hostname', which is not in the model folder",
    "file: gone.onnx": "names 'gone.onnx', which is not in the model folder",
    "file: .": "names '.', which is not in the model folder",
    "conda: gone.yaml": "names 'gone.yaml', which is not in the model folder",
    "conda: ../other.onnx": "names '../other.onnx', which is not in the model folder",
    "conda: README.md": "README.md is no conda file: it has no list of dependencies",
    "file: README.md": "no runtime reads README.md; known: *.cbm, *.joblib, *.json, *.onnx",
}


@pytest.mark.parametrize(("stated", "told"), WRONG.items())
def test_a_wrong_manifest_is_refused_with_what_is_wrong(
    tmp_path: Path, stated: str, told: str
) -> None:
    (tmp_path / "other.onnx").touch()
    folder = folder_of(tmp_path / "model", model_onnx="", README_md="", manifest_yaml=stated)

    with pytest.raises(ModelInvalid) as caught:
        manifest.read(folder)

    assert told in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_manifest_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"manifest\.yaml is not YAML"):
        manifest.read(folder_of(tmp_path, model_onnx="", manifest_yaml=b"description: \xff"))


def test_an_empty_manifest_says_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_onnx="", manifest_yaml="# nothing yet\n")

    assert manifest.read(folder).runtime == "onnx"


def test_two_candidates_are_both_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_onnx="", model_pkl="", schema_json="{}")

    with pytest.raises(ModelInvalid, match=r"2 files could be the model: model\.onnx, model\.pkl;"):
        manifest.read(folder)


def test_an_empty_folder_and_one_without_a_model_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(
        ModelInvalid, match=r"the model folder is empty; looked for MLmodel, \*\.cbm, \*\.joblib"
    ):
        manifest.read(tmp_path)
    assert not manifest.holds_model(tmp_path)

    folder_of(tmp_path, README_md="", golden_json="[]", schema_json="{}", swagger_json="{}")
    with pytest.raises(ModelInvalid, match="no model file found; looked for"):
        manifest.read(tmp_path)
    assert not manifest.holds_model(tmp_path)


@pytest.mark.parametrize("name", ["._model.onnx", ".model.onnx"])
def test_a_hidden_file_is_never_the_model(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert not manifest.holds_model(tmp_path)

    folder = folder_of(tmp_path, model_onnx="")
    assert manifest.read(folder).file.name == "model.onnx"


def test_a_folder_named_like_a_model_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()

    with pytest.raises(ModelInvalid, match="no model file found"):
        manifest.read(tmp_path)


def test_a_scoring_script_is_the_model_unless_the_manifest_names_another(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, model_onnx="", score_py="")
    assert manifest.holds_model(folder)
    found = manifest.read(folder)
    assert (found.runtime, found.file) == ("script", folder / "score.py")

    folder_of(tmp_path, manifest_yaml="file: model.onnx")
    assert manifest.read(folder).runtime == "onnx"


def test_an_entry_script_may_have_any_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, main_py="", manifest_yaml="entry: main.py")

    found = manifest.read(folder)
    assert (found.runtime, found.file) == ("script", folder / "main.py")


def test_a_model_may_lie_in_a_folder_that_the_manifest_names(tmp_path: Path) -> None:
    folder_of(tmp_path, manifest_yaml="file: weights/model.onnx")
    folder_of(tmp_path / "weights", model_onnx="")

    assert manifest.read(tmp_path).file == tmp_path / "weights/model.onnx"


@pytest.mark.parametrize("target", ["../secret", "/etc/hostname", "loop", "sub/../../secret"])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").touch()
    folder = folder_of(tmp_path / "model", model_onnx="")
    (folder / "loop").symlink_to(target)

    with pytest.raises(ModelInvalid, match=r"^loop is a link that leaves the model folder$"):
        manifest.read(folder)


def test_a_link_to_a_folder_outside_is_refused_however_deep(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model", model_onnx="")
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/out").symlink_to(tmp_path)

    with pytest.raises(ModelInvalid, match=r"^a/b/out is a link that leaves the model folder$"):
        manifest.read(folder)


def test_links_inside_the_folder_are_fine_as_kubernetes_makes_them(tmp_path: Path) -> None:
    folder_of(tmp_path / "..2024_01_01", model_onnx="content")
    (tmp_path / "..data").symlink_to("..2024_01_01")
    (tmp_path / "model.onnx").symlink_to("..data/model.onnx")

    assert manifest.read(tmp_path).file.read_text() == "content"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "schema.json is not JSON"),
        ("", "schema.json is not JSON"),
        ("[]", "schema.json must be an object"),
        ("true", "schema.json must be an object"),
        (b"\xff\xfe", "schema.json is not JSON"),
        ("[" * 100_000, "schema.json is not JSON"),
    ],
)
def test_a_schema_that_cannot_be_read_is_refused(
    tmp_path: Path, content: str | bytes, told: str
) -> None:
    with pytest.raises(ModelInvalid, match=told):
        manifest.read(folder_of(tmp_path, model_onnx="", schema_json=content))


def test_a_schema_a_golden_file_and_requirements_are_found(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        model_onnx="",
        schema_json='{"type": "string"}',
        golden_json="[]",
        requirements_txt="Scikit_Learn==1.2\n# numpy==1\nnumpy >= 2\npandas [all] === 2.0.1 ; x\n",
    )
    found = manifest.read(folder)

    assert found.schema == {"type": "string"}
    assert found.golden == folder / "golden.json"
    assert found.requirements == {"scikit-learn": "1.2", "pandas": "2.0.1"}


FILES: dict[str, Any] = {"model_onnx": "abc", "schema_json": "{}", "a_txt": ""}


def test_a_digest_depends_on_names_and_contents_and_not_on_the_order_of_making(
    tmp_path: Path,
) -> None:
    one = manifest.digest(folder_of(tmp_path / "one", **FILES))
    two = manifest.digest(folder_of(tmp_path / "two", **dict(reversed(FILES.items()))))
    other = manifest.digest(folder_of(tmp_path / "other", **FILES | {"a_txt": "x"}))
    renamed = manifest.digest(folder_of(tmp_path / "renamed", model_onnx="abc", b_txt=""))

    assert one == two
    assert len({one, other, renamed}) == 3


def test_a_digest_is_the_one_that_sha256sum_makes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b").write_bytes(b"b")
    (tmp_path / "a").write_bytes(b"a")

    assert manifest.digest(tmp_path) == (
        # printf %s "$(sha256sum a sub/b | sort)" | sha256sum
        "f9b82d72655df4b87e07eb2649a66a43e8915eaa3fdcd2f6e39acb2edaf525bc"
    )


def test_a_digest_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "model-\udcff.onnx").touch()

    assert len(manifest.digest(tmp_path)) == 64
