"""Train the sample model `dog_breeds`: which of five breeds does a picture show?

The pictures are drawn: a dog of ellipses with the build, ears and coat of its breed, in colours,
places and light that a seeded generator chooses. The network is three convolutions and a matrix;
its ONNX graph takes a picture as it is decoded, and gives the probability of each breed.
"""

import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import autograd.numpy as anp
import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import yaml
from autograd import grad
from autograd.misc.optimizers import adam
from numpy.typing import NDArray
from PIL import Image, ImageDraw

FOLDER = Path(__file__).parent / "dog_breeds" / "1"
SEED = 2019
BREEDS = ["Beagle", "Dalmatian", "Italian_greyhound", "Pug", "Siberian_husky"]
SIDE, SEEN = 96, 32  # pixels of a drawn picture, and of what the network sees of one
TRAINED, HELD_OUT, BATCH, STEPS = 2500, 1000, 64, 1200
FILTERS = {"c1": (8, 3, 5), "c2": (16, 8, 3), "c3": (24, 16, 3)}  # of how many channels, how wide
ENOUGH = 0.95
SURE = (0.99, 0.9998)  # the probability of golden pictures: its four digits are the same anywhere

COATS = {  # body, ears, face
    "Beagle": ("#b5763a", "#7a4a1e", "#f3ece0"),
    "Dalmatian": ("#f4f4f2", "#1c1c1c", "#f4f4f2"),
    "Italian_greyhound": ("#8d9099", "#7c7f88", "#8d9099"),
    "Pug": ("#d9b98a", "#2b2320", "#2b2320"),
    "Siberian_husky": ("#6f7680", "#4b525c", "#f5f6f7"),
}
HEIGHT = {"Italian_greyhound": 0.19, "Pug": 0.42}  # of the body; others are between
LEGS = {"Italian_greyhound": 0.34, "Pug": 0.13}

GRAPH = """
<ir_version: 8, opset_import: ["": 17]>
dog_breeds (uint8[N, $SEEN, $SEEN, 3] picture) => (float[N, $BREEDS] probabilities)
<float scale = {0.00392156862745098}>
{
  as_float = Cast<to = 1>(picture)
  scaled = Mul(as_float, scale)
  planes = Transpose<perm = [0, 3, 1, 2]>(scaled)
  h1 = Conv<strides = [2, 2]>(planes, c1, c1_b)
  a1 = Relu(h1)
  h2 = Conv<strides = [2, 2]>(a1, c2, c2_b)
  a2 = Relu(h2)
  h3 = Conv<strides = [2, 2]>(a2, c3, c3_b)
  a3 = Relu(h3)
  flat = Flatten(a3)
  logits = Gemm(flat, dense, dense_b)
  probabilities = Softmax(logits)
}
"""

Pictures = NDArray[np.uint8]
Parameters = dict[str, NDArray[np.float64]]


def shade(colour: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """Nearly that colour."""
    values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) + rng.normal(0, 10, 3)
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def draw_dog(breed: str, rng: np.random.Generator) -> Image.Image:
    """One dog from its side, at any place, before anything."""
    background, ground = rng.integers(60, 230, (2, 3)).tolist()
    image = Image.new("RGB", (SIDE, SIDE), tuple(background))
    draw = ImageDraw.Draw(image)
    body, ears, face = (shade(colour, rng) for colour in COATS[breed])
    size = SIDE * rng.uniform(0.55, 0.75)
    left, top = rng.uniform(2, SIDE * 0.2), SIDE * rng.uniform(0.25, 0.4)
    tall, legs = size * HEIGHT.get(breed, 0.32), size * LEGS.get(breed, 0.25)
    draw.rectangle((0, top + tall + legs * 0.8, SIDE, SIDE), fill=tuple(ground))
    for where in (0.12, 0.24, 0.68, 0.8):
        x, wide = left + size * where, size * 0.06
        draw.rectangle((x, top + tall * 0.6, x + wide, top + tall + legs), fill=body)
    draw.ellipse((left, top, left + size, top + tall), fill=body)
    if breed == "Dalmatian":
        draw_spots(draw, (left, top, size, tall), rng)
    if breed in ("Beagle", "Siberian_husky"):  # a saddle, and a white belly
        draw.ellipse((left, top + tall * 0.6, left + size, top + tall), fill=face)
        draw.chord((left, top, left + size * 0.9, top + tall * 0.9), 180, 360, fill=ears)
    draw_head(draw, breed, (left + size * 0.95, top), size * 0.36, (body, ears, face))
    return image


def draw_spots(
    draw: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    rng: np.random.Generator,
) -> None:
    """Black ones, all over the body."""
    left, top, size, tall = box
    for _ in range(14):
        x, y = left + size * rng.uniform(0.1, 0.85), top + tall * rng.uniform(0.15, 0.8)
        radius = size * rng.uniform(0.02, 0.05)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(25, 25, 25))


def draw_head(
    draw: ImageDraw.ImageDraw,
    breed: str,
    centre: tuple[float, float],
    size: float,
    colours: tuple[tuple[int, int, int], ...],
) -> None:
    """With ears that hang, or stand."""
    (x, y), (body, ears, face), half = centre, colours, size / 2
    narrow = 0.6 if breed == "Italian_greyhound" else 1.0
    draw.ellipse((x - half, y - half * narrow, x + half, y + half * narrow), fill=body)
    draw.ellipse((x - half * 0.1, y - half * 0.3, x + half, y + half * 0.7 * narrow), fill=face)
    if breed == "Siberian_husky":
        for k in (-0.6, 0.1):
            tip = (x + half * (k + 0.25), y - size)
            draw.polygon([(x + half * k, y - half * 0.6), tip, (x + half * (k + 0.5), y)], ears)
    else:
        long = 1.1 if breed in ("Beagle", "Dalmatian") else 0.3
        draw.ellipse((x - half, y - half * 0.8, x - half * 0.3, y + half * long), fill=ears)
    draw.ellipse(
        (x + half * 0.1, y - half * 0.3, x + half * 0.3, y - half * 0.1), fill=(20, 20, 20)
    )


def as_jpeg(image: Image.Image, rng: np.random.Generator) -> bytes:
    """As a camera would give it: some light, some noise, compressed."""
    pixels = np.asarray(image) * rng.uniform(0.75, 1.15) + rng.normal(0, 6, (SIDE, SIDE, 3))
    written = io.BytesIO()
    noisy = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    noisy.save(written, "JPEG", quality=int(rng.integers(70, 95)))
    return written.getvalue()


def seen(jpeg: bytes) -> Pictures:
    """What the network sees of a picture, (SEEN, SEEN, 3); score.py does the same."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB").resize((SEEN, SEEN), Image.Resampling.BOX))


def draw_pictures(count: int, rng: np.random.Generator) -> tuple[list[bytes], NDArray[np.int64]]:
    """JPEG files and the numbers of their breeds."""
    breeds = rng.integers(0, len(BREEDS), count)
    return [as_jpeg(draw_dog(BREEDS[k], rng), rng) for k in breeds], breeds


def windows(x: Any, width: int) -> Any:
    """(pictures, height, width, channels) -> all that each step of a convolution sees, flat."""
    steps = (x.shape[1] - width) // 2 + 1
    reach = 2 * steps - 1
    seen_at = [
        x[:, i : i + reach : 2, j : j + reach : 2] for i in range(width) for j in range(width)
    ]
    return anp.concatenate(seen_at, axis=3)


def forward(p: Parameters, x: Any) -> Any:
    """Logits (pictures, breeds)."""
    for name, (count, channels, width) in FILTERS.items():
        filters = anp.transpose(p[name], (2, 3, 1, 0)).reshape(width * width * channels, count)
        x = anp.maximum(anp.dot(windows(x, width), filters) + p[f"{name}_b"], 0.0)
    flat = anp.transpose(x, (0, 3, 1, 2)).reshape(len(x), -1)  # as ONNX has it
    return anp.dot(flat, p["dense"]) + p["dense_b"]


def initial_parameters(rng: np.random.Generator) -> Parameters:
    """Small random numbers, as He et al. choose them for what Relu follows."""
    drawn: Parameters = {}
    for name, (count, channels, width) in FILTERS.items():
        shape = (count, channels, width, width)
        drawn[name] = rng.normal(0, np.sqrt(2 / (channels * width * width)), shape)
        drawn[f"{name}_b"] = np.zeros(count)
    flat = FILTERS["c3"][0] * 4
    return drawn | {
        "dense": rng.normal(0, np.sqrt(1 / flat), (flat, len(BREEDS))),
        "dense_b": np.zeros(len(BREEDS)),
    }


def train(pictures: Pictures, breeds: NDArray[np.int64]) -> Parameters:
    """Adam over random batches."""
    rng = np.random.default_rng(SEED)

    def loss(p: Parameters, _step: int) -> Any:
        batch = rng.integers(0, len(breeds), BATCH)
        logits = forward(p, pictures[batch] / 255)
        highest = anp.max(logits, axis=1, keepdims=True)
        total = anp.log(anp.sum(anp.exp(logits - highest), axis=1)) + highest[:, 0]
        return anp.mean(total - logits[np.arange(BATCH), breeds[batch]])

    start = initial_parameters(rng)
    trained: Parameters = adam(grad(loss), start, num_iters=STEPS, step_size=0.003)
    return trained


def build_model(p: Parameters) -> onnx.ModelProto:
    """The checked graph with its trained numbers."""
    text = GRAPH.replace("$SEEN", str(SEEN)).replace("$BREEDS", str(len(BREEDS)))
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in p.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def answer(probabilities: NDArray[np.float32]) -> str:
    """What score.py answers."""
    best = int(np.argmax(probabilities))
    return json.dumps({"label": BREEDS[best], "probability": f"{probabilities[best]:.4f}"})


def choose_golden(
    jpegs: list[bytes], breeds: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> list[int]:
    """One picture of each breed, whose probability is far from where its last digit changes."""
    best = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == breeds) & (best > SURE[0]) & (best < SURE[1])
    off = np.abs(best * 1e4 - np.round(best * 1e4))
    assert set(breeds[right]) == set(range(len(BREEDS))), "no picture of a breed is sure enough"
    return [int(np.argmin(np.where(right & (breeds == k), off, 1))) for k in range(len(BREEDS))]


def write_folder(
    model: onnx.ModelProto, golden: list[tuple[bytes, str]], accuracy: float, dog: bytes
) -> None:
    """Write all files of the model's folder but its score.py."""
    entries = [
        {"request": {"data": base64.b64encode(jpeg).decode()}, "results": results}
        for jpeg, results in golden
    ]
    manifest = {
        "description": "Which of five breeds is a dog of? Drawn pictures, a convolution net.",
        "tags": {"algorithm": "CNN", "held_out_accuracy": f"{accuracy:.3f}"},
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "breeds.onnx").write_bytes(model.SerializeToString())
    (FOLDER / "breeds.txt").write_text("\n".join(BREEDS) + "\n", encoding="utf-8")
    (FOLDER / "dog.jpg").write_bytes(dog)
    (FOLDER / "golden.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    (FOLDER / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, width=100))


def main() -> None:
    """Draw the dogs, train, print the accuracy on the held-out ones, write the folder."""
    rng = np.random.default_rng(SEED)
    jpegs, breeds = draw_pictures(TRAINED, rng)
    held_out, right = draw_pictures(HELD_OUT, rng)
    started = time.perf_counter()
    model = build_model(train(np.stack([seen(jpeg) for jpeg in jpegs]), breeds))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"picture": np.stack([seen(j) for j in held_out])})
    accuracy = float(np.mean(probabilities.argmax(axis=1) == right))
    seconds = time.perf_counter() - started
    print(f"dog_breeds 1: CNN, held-out accuracy {accuracy:.3f} ({seconds:.0f} s)")
    assert accuracy >= ENOUGH, f"held-out accuracy is below {ENOUGH}"
    chosen = choose_golden(held_out, right, probabilities)
    golden = [(held_out[k], answer(probabilities[k])) for k in chosen]
    write_folder(model, golden[:3], accuracy, golden[BREEDS.index("Italian_greyhound")][0])


if __name__ == "__main__":
    main()
