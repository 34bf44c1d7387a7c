"""The ids of a request: the table in docs/protocols.md, and what is made when none comes."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import IdTooLong
from app.ids import IdSource

NAMES = (b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id")
A, B, C, NEW = b"a", b"b", b"c", b"new"


def out(source: IdSource, *given: bytes | None) -> tuple[bytes | None, ...]:
    headers = {n: v for n, v in zip(NAMES, given, strict=True) if v is not None}
    ids = source.of(headers)
    ids.check()
    going = dict(ids.headers())
    assert list(going) == [name for name in NAMES if name in going]
    return tuple(going.get(name) for name in NAMES)


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        ((None, None, None), (NEW, NEW, None)),
        ((A, None, None), (A, A, None)),
        ((A, B, None), (A, B, B)),
        ((None, B, None), (NEW, B, B)),
        ((A, None, C), (A, C, C)),
        ((None, None, C), (NEW, C, C)),
        ((A, B, C), (A, B, C)),
        ((None, B, C), (NEW, B, C)),
        ((b"", b"", b""), (NEW, NEW, None)),
        ((A, b"", C), (A, C, C)),
    ],
)
def test_ids_go_out_as_the_table_says(
    came: tuple[bytes | None, ...], goes: tuple[bytes | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = IdSource()
    monkeypatch.setattr(source, "new", lambda: NEW)

    assert out(source, *came) == goes


def test_new_ids_are_of_uuid4_form_and_never_the_same() -> None:
    source, other = IdSource(), IdSource()
    made = [each.new().decode() for each in (source, other) for _ in range(20_000)]

    assert len(set(made)) == len(made)
    for text in made[::50]:
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 4, uuid.RFC_4122)


def test_all_bits_of_new_ids_but_the_fixed_ones_vary() -> None:
    source = IdSource()
    numbers = [uuid.UUID(source.new().decode()).int for _ in range(500)]
    fixed = uuid.UUID("00000000-0000-f000-c000-000000000000").int

    ones, zeros = 0, 0
    for number in numbers:
        ones |= number
        zeros |= ~number
    assert ones & zeros & (2**128 - 1) == (2**128 - 1) & ~fixed


@pytest.mark.parametrize("name", NAMES)
def test_an_id_of_more_than_100_characters_is_refused_and_not_sent_back(name: bytes) -> None:
    source = IdSource()
    source.of({name: b"x" * 100}).check()

    ids = source.of({name: b"x" * 101})
    with pytest.raises(IdTooLong) as caught:
        ids.check()
    assert caught.value.status == 431
    assert ids.request_id
    assert all(len(value) <= 100 for _, value in ids.headers())


@given(st.lists(st.one_of(st.none(), st.binary(max_size=120)), min_size=3, max_size=3))
def test_no_id_goes_out_that_could_end_its_header(came: list[bytes | None]) -> None:
    headers = {n: v for n, v in zip(NAMES, came, strict=True) if v is not None}

    for _, value in IdSource().of(headers).headers():
        assert value
        assert not set(value) & {*range(9), *range(10, 32), 127}
