"""Train the sample model `claim_classifier_onnx_demo`: is a claim about a home (0) or a car (1)?

The claims are synthetic: sentences drawn from the seeded templates in claim_templates.yaml. Held
out are sentences whose templates, openings and endings were never trained on. The classifier is an
LSTM over word embeddings, trained with autograd and written as one ONNX graph from text to class;
the preparation of the text is part of the graph.
"""

import json
import os
import random
import re
import time
from pathlib import Path
from string import Template
from typing import Any

import autograd.numpy as anp
import numpy as np
import onnx
import yaml
from autograd import grad
from autograd.misc.optimizers import adam
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when onnxruntime is imported
import onnxruntime as ort

HERE = Path(__file__).parent
FOLDER = HERE / "claim_classifier_onnx_demo" / "1"
CLASSES = ("home", "auto")
SEED = 2021
TRAINED, HELD_OUT = 4000, 1000  # texts
EMBEDDING, HIDDEN = 16, 24
STEPS, BATCH, LEARNING_RATE = 600, 64, 0.01
HIDDEN_WORDS = 0.1  # share of the training words shown as unknown
ENOUGH = 0.95  # accuracy on the held-out texts
PAD, UNKNOWN = 0, 1  # ids; the words of the vocabulary follow

MAX_WORDS = 128  # of a text that are read: bounds memory and time whatever is sent
MAX_PARTS = 8  # of a word at one delimiter, likewise
DELIMITERS = "\t\n\r.,;:!?\"'()[]-/\u2018\u2019\u201c\u201d\u2013\u2014\u2026"

GOLDEN_TEXTS = [
    "My house is on fire",
    "Someone hit my car while it was parked",
    "Fire! The kitchen (and the roof) burned last night...",
    "A tree next to my house fell on my car",
    "A tree next to my car fell on my house",
]
GOLDEN_LABELS = [0, 1, 0, 1, 0]

# The graph in ONNX's own notation. A text is split at spaces, and its words again at each delimiter
# in turn: no operator can replace characters in a string. After each split the padded matrix of
# parts is compressed to the parts that are not empty and the row (text) of each. One guard text is
# appended first and its answer dropped last, because with zero rows onnxruntime 1.31 fails in
# StringNormalizer and aborts the process in LSTM.
HEAD = Template("""
<ir_version: 9, opset_import: ["": 20, "ai.onnx.ml": 4], producer_name: "aml-serve sample">
claim_classifier (string[N] text) => (int64[N] label, float[N, 2] probabilities)
<string[1] guard = {"guard"}, string empty = {""}, int64 zero = {0}, int64 one = {1},
 int64[1] first = {0}, int64[1] last = {-1}, int64[1] second_axis = {1},
 int64[1] max_words = {$MAX_WORDS}>
{
  guarded = Concat <axis = 0> (text, guard)
  words_0 = StringNormalizer <case_change_action = "LOWER", locale = "C.UTF-8"> (guarded)
  texts = Shape (guarded)
  texts_scalar = Size (guarded)
  rows_0 = Range (zero, texts_scalar, one)
""")
SPLIT = Template("""
  parts_$NEW, counts_$NEW = StringSplit <$HOW> (words_$OLD)
  is_empty_$NEW = Equal (parts_$NEW, empty)
  is_part_$NEW = Not (is_empty_$NEW)
  where_$NEW = NonZero (is_part_$NEW)
  pairs_$NEW = Transpose (where_$NEW)
  words_$NEW = GatherND (parts_$NEW, pairs_$NEW)
  source_$NEW = Gather (where_$NEW, zero)
  rows_$NEW = Gather (rows_$OLD, source_$NEW)
""")
TAIL = Template("""
  ids = ai.onnx.ml.LabelEncoder <
    keys_strings = $KEYS, values_int64s = $IDS, default_int64 = $UNKNOWN
  > (words_$LAST)
  shape_of_ids = Shape (ids)
  ones = ConstantOfShape <value = int64[1] {1}> (shape_of_ids)
  zeros = ConstantOfShape <value = int64[1] {0}> (texts)
  lengths = ScatterElements <axis = 0, reduction = "add"> (zeros, rows_$LAST, ones)
  starts = CumSum <exclusive = 1> (lengths, zero)
  start_of_word = Gather (starts, rows_$LAST)
  words_total = Size (ids)
  places = Range (zero, words_total, one)
  steps = Sub (places, start_of_word)
  step_column = Unsqueeze (steps, second_axis)
  row_column = Unsqueeze (rows_$LAST, second_axis)
  cells = Concat <axis = 1> (step_column, row_column)
  longest = ReduceMax <keepdims = 1> (lengths)
  padded_shape = Concat <axis = 0> (longest, texts)
  padding = ConstantOfShape <value = int64[1] {$PAD}> (padded_shape)
  padded = ScatterND (padding, cells, ids)
  read = Slice (padded, first, max_words, first)
  embedded = Gather (embedding, read)
  read_lengths = Min (lengths, max_words)
  sequence_lens = Cast <to = 6> (read_lengths)
  all_states, last_state = LSTM <hidden_size = $HIDDEN> (embedded, w, r, b, sequence_lens)
  state = Squeeze (last_state, first)
  logits = Gemm (state, dense_w, dense_b)
  guarded_probabilities = Softmax <axis = 1> (logits)
  probabilities = Slice (guarded_probabilities, first, last, first)
  label = ArgMax <axis = 1, keepdims = 0> (probabilities)
}
""")

Parameters = dict[str, NDArray[np.float64]]
Integers = NDArray[np.int64]
Claims = list[tuple[str, int]]  # text and class


def draw_claims(
    part: dict[str, list[str]], slots: dict[str, list[str]], count: int, rng: random.Random
) -> Claims:
    """`count` different texts, as many of one class as of the other."""
    claims: dict[str, int] = {}
    while len(claims) < count:
        label = len(claims) % 2
        template = rng.choice(part[CLASSES[label]])
        sentence = re.sub(r"\{(\w+)\}", lambda slot: rng.choice(slots[slot[1]]), template)
        opening, ending = rng.choice(part["openings"]), rng.choice(part["endings"])
        text = f"{opening} {sentence}{rng.choice(['', ',', '.'])} {ending}".strip()
        claims[text.capitalize() + rng.choice(["", ".", "!"])] = label
    neutral = [(text, label) for text in part.get("neutral", []) for label in (0, 1)]
    return list(claims.items()) + neutral * (count // 200)


def split_words(text: str) -> list[str]:
    """What the graph does, for texts of usual length."""
    return re.sub(f"[{re.escape(DELIMITERS)}]", " ", text.lower()).split(" ")


def encode(texts: list[str], vocabulary: dict[str, int]) -> tuple[Integers, Integers]:
    """Ids (longest, texts), padded, and the lengths (texts,)."""
    rows = [[vocabulary.get(word, UNKNOWN) for word in split_words(text) if word] for text in texts]
    lengths = np.array([len(row) for row in rows])
    ids = np.full((lengths.max(), len(rows)), PAD)
    for column, row in enumerate(rows):
        ids[: len(row), column] = row
    return ids, lengths


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), which cannot overflow when written so."""
    return 0.5 + 0.5 * anp.tanh(0.5 * x)


def forward(p: Parameters, ids: Integers, lengths: Integers) -> Any:
    """Logits (texts, 2). Gates as ONNX's LSTM wants them: input, output, forget, cell."""
    inputs = anp.dot(p["embedding"][ids], p["w"].T) + p["b"]
    h = c = anp.zeros((len(lengths), HIDDEN))
    for step, at_input in enumerate(inputs):
        gates = at_input + anp.dot(h, p["r"].T)
        i, o, f, cell = (gates[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
        is_word = (step < lengths)[:, None]
        c = anp.where(is_word, sigmoid(f) * c + sigmoid(i) * anp.tanh(cell), c)
        h = anp.where(is_word, sigmoid(o) * anp.tanh(c), h)
    return anp.dot(h, p["dense_w"]) + p["dense_b"]


def initial_parameters(words: int, rng: np.random.Generator) -> Parameters:
    """Small random numbers; the forget gates start open."""
    shapes = {"embedding": (words, EMBEDDING), "w": (4 * HIDDEN, EMBEDDING)}
    shapes |= {"r": (4 * HIDDEN, HIDDEN), "dense_w": (HIDDEN, 2)}
    drawn = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    forget_open = np.repeat([0.0, 0.0, 1.0, 0.0], HIDDEN)
    return drawn | {"b": forget_open, "dense_b": np.zeros(2)}


def train(claims: Claims, vocabulary: dict[str, int]) -> Parameters:
    """Adam over random batches, in each of which some words are shown as unknown."""
    rng = np.random.default_rng(SEED)

    def loss(p: Parameters, _step: int) -> Any:
        batch = [claims[k] for k in rng.integers(0, len(claims), BATCH)]
        ids, lengths = encode([text for text, _ in batch], vocabulary)
        ids = np.where((rng.random(ids.shape) < HIDDEN_WORDS) & (ids != PAD), UNKNOWN, ids)
        logits = forward(p, ids, lengths)
        sign = np.array([1 - 2 * label for _, label in batch])
        return anp.mean(anp.logaddexp(0.0, sign * (logits[:, 1] - logits[:, 0])))

    start = initial_parameters(len(vocabulary) + 2, rng)
    trained: Parameters = adam(grad(loss), start, num_iters=STEPS, step_size=LEARNING_RATE)
    return trained


def graph_text(vocabulary: dict[str, int]) -> str:
    """The graph in ONNX's notation, without the trained numbers."""
    hows = [f"maxsplit = {MAX_WORDS}"]
    for character in DELIMITERS:
        literal = character.replace('"', r"\"")  # the only escape that onnx.parser knows
        hows.append(f'delimiter = "{literal}", maxsplit = {MAX_PARTS - 1}')
    splits = [SPLIT.substitute(OLD=k, NEW=k + 1, HOW=how) for k, how in enumerate(hows)]
    tail = TAIL.substitute(
        LAST=len(hows),
        KEYS=json.dumps(list(vocabulary)),
        IDS=list(vocabulary.values()),
        UNKNOWN=UNKNOWN,
        PAD=PAD,
        HIDDEN=HIDDEN,
    )
    return HEAD.substitute(MAX_WORDS=MAX_WORDS) + "".join(splits) + tail


def build_model(p: Parameters, vocabulary: dict[str, int]) -> onnx.ModelProto:
    """The checked graph with its trained numbers."""
    model = onnx.parser.parse_model(graph_text(vocabulary))
    biases = np.concatenate([p["b"], np.zeros(4 * HIDDEN)])  # ONNX has one at the input, one at h
    numbers = p | {"w": p["w"][None], "r": p["r"][None], "b": biases[None]}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value.astype(np.float32), name)
        for name, value in numbers.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def open_session(model: onnx.ModelProto) -> ort.InferenceSession:
    """The model as onnxruntime runs it."""
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def measure_accuracy(session: ort.InferenceSession, claims: Claims) -> float:
    """The share of claims whose class the finished graph finds."""
    texts, answers = zip(*claims, strict=True)
    (labels,) = session.run(["label"], {"text": np.array(texts)})
    return float(np.mean(labels == answers))


def golden_file(session: ort.InferenceSession) -> list[dict[str, Any]]:
    """Requests to `/score` and their answers: one text and several, labels and more."""
    outputs = session.run(None, {"text": np.array(GOLDEN_TEXTS)})
    labels, probabilities = (output.tolist() for output in outputs)
    assert labels == GOLDEN_LABELS, labels
    entries: list[tuple[dict[str, Any], Any]] = [
        ({"data": GOLDEN_TEXTS[0]}, labels[0]),
        ({"data": GOLDEN_TEXTS[1]}, labels[1]),
        ({"data": GOLDEN_TEXTS}, labels),
        (
            {"data": GOLDEN_TEXTS, "outputs": ["label", "probabilities"]},
            {"label": labels, "probabilities": probabilities},
        ),
    ]
    return [
        {"request": request, "results": results, "tolerance": 1e-5} for request, results in entries
    ]


def write_folder(model: onnx.ModelProto, golden: list[dict[str, Any]], accuracy: float) -> None:
    """Write all files of the model's folder."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Claim",
        "type": "string",
        "description": f"An insurance claim in English; the first {MAX_WORDS} words are read",
        "examples": GOLDEN_TEXTS[:2],
    }
    manifest = {
        "description": "Is an insurance claim about a home (0) or a car (1)? Synthetic data, LSTM.",
        "tags": {"algorithm": "LSTM", "held_out_accuracy": f"{accuracy:.3f}"},
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "model.onnx").write_bytes(model.SerializeToString())
    for name, content in [("schema.json", schema), ("golden.json", golden)]:
        (FOLDER / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (FOLDER / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, width=100))


def main() -> None:
    """Draw the claims, train, print the accuracy on the held-out ones, write the folder."""
    templates = yaml.safe_load((HERE / "claim_templates.yaml").read_text(encoding="utf-8"))
    rng = random.Random(SEED)
    claims = draw_claims(templates["trained"], templates["slots"], TRAINED, rng)
    held_out = draw_claims(templates["held_out"], templates["slots"], HELD_OUT, rng)
    words = sorted({word for text, _ in claims for word in split_words(text) if word})
    vocabulary = {word: number for number, word in enumerate(words, start=UNKNOWN + 1)}

    started = time.perf_counter()
    model = build_model(train(claims, vocabulary), vocabulary)
    session = open_session(model)
    accuracy = measure_accuracy(session, held_out)
    print(
        f"claim_classifier_onnx_demo 1: LSTM, held-out accuracy {accuracy:.3f}"
        f" ({len(words)} words, {time.perf_counter() - started:.0f} s)"
    )
    assert accuracy >= ENOUGH, f"held-out accuracy is below {ENOUGH}"
    write_folder(model, golden_file(session), accuracy)


if __name__ == "__main__":
    main()
