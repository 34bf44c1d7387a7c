"""The processes of a script, asked from the event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from app.errors import DeadlineExceeded, ModelFailed, ModelUnavailable
from app.runtimes.script.child import Ended
from app.runtimes.script.model import ScriptModel
from app.runtimes.script.stream import Stream
from tests.runtimes.script.asking import Load, answered, is_there, told, value

ECHO = "def run(data):\n    return data"
PID = "import os\ndef run(data):\n    return os.getpid()"
SLEEP = "import os, time\ndef run(data):\n    time.sleep(float(data)); return os.getpid()"


@pytest.fixture(name="load")
async def load_and_end(load: Load) -> AsyncIterator[Load]:
    """Connections are closed while there is a loop."""
    ends = []

    def load_one(code: str, **files: str) -> ScriptModel:
        model = load(code, **files)
        ends.append(model._finalizer)
        return model

    yield load_one
    for end in ends:
        end()
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("size", [0, 64 * 1024, 64 * 1024 + 1, 5_000_000])
async def test_bodies_of_any_size_go_there_and_back_from_the_loop(load: Load, size: int) -> None:
    assert await told(load(ECHO), b"x" * size) == "x" * size


async def test_each_of_many_callers_gets_its_own_answer(load: Load) -> None:
    model = load(ECHO, manifest="threads: 2")
    bodies = [str(number) * (number * 97 % 5000 + 1) for number in range(300)]

    assert await asyncio.gather(*(told(model, body.encode()) for body in bodies)) == bodies


async def test_as_many_calls_run_at_once_as_it_has_processes(load: Load) -> None:
    model = load(SLEEP, manifest="threads: 3")
    started = time.monotonic()
    pids = await asyncio.gather(*(told(model, b"0.3") for _ in range(6)))

    assert len(set(pids)) == model.processes == 3
    assert 0.6 <= time.monotonic() - started < 1.5


async def test_the_next_request_of_a_quick_script_goes_ahead_and_begins_when_it_is_its_turn(
    load: Load,
) -> None:
    model = load(SLEEP)
    for _ in range(40):  # it is known to be quick
        await told(model, b"0")
    began: list[float] = []
    first, second = await asyncio.gather(
        answered(model, b"0.2", began.append), answered(model, b"0", began.append)
    )

    assert first.body == second.body
    assert began[1] - began[0] > 0.2


async def test_nobody_waits_behind_a_long_call_while_another_process_is_free(load: Load) -> None:
    model = load(SLEEP, manifest="threads: 2")
    for _ in range(80):  # both are known to be quick
        await asyncio.gather(told(model, b"0"), told(model, b"0"))
    slow = asyncio.create_task(told(model, b"2"))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await asyncio.gather(*(told(model, b"0.01") for _ in range(8)))

    assert time.monotonic() - started < 1
    slow.cancel()


async def test_callers_that_leave_disturb_nobody(load: Load) -> None:
    model = load(SLEEP)
    slow = [asyncio.create_task(told(model, b"0.2")) for _ in range(3)]
    last = asyncio.create_task(told(model, b"0"))
    await asyncio.sleep(0.1)
    for task in slow:
        task.cancel()
    started = time.monotonic()

    assert await last > 0
    assert time.monotonic() - started < 0.3  # those that had not begun were never asked


async def test_what_takes_too_long_is_ended_and_who_waits_is_answered_by_another(
    load: Load,
) -> None:
    model = load(SLEEP + "\nimport signal\nsignal.setitimer = lambda *_: None",
                 manifest="timeout_s: 0.3")  # fmt: skip
    first = await told(model, b"0")
    for _ in range(40):
        await told(model, b"0")
    outcomes = await asyncio.gather(
        told(model, b"20"), told(model, b"0"), told(model, b"0"), return_exceptions=True
    )

    assert isinstance(outcomes[0], DeadlineExceeded)
    assert "Scoring timeout after 300 ms" in str(outcomes[0])
    assert outcomes[1] == outcomes[2] != first
    assert not is_there(first)


async def test_of_requests_to_a_process_that_ends_only_the_one_it_had_begun_fails(
    load: Load,
) -> None:
    model = load("import os\ndef run(data):\n    return os._exit(3) if data == 'end' else data")
    for _ in range(40):
        await told(model)
    outcomes = await asyncio.gather(
        *(told(model, body) for body in (b"end", b"a", b"b", b"end", b"c")), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [ModelFailed, str, str, ModelFailed, str]
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["a", "b", "c"]


async def test_a_process_that_was_killed_is_begun_again(load: Load) -> None:
    model = load(PID)
    first = await told(model)
    os.kill(first, signal.SIGKILL)
    with suppress(ModelFailed):
        await told(model)

    assert await told(model) != first


async def test_a_process_that_does_not_begin_again_is_told_to_all_that_wait(
    load: Load, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    model = load(f"import os\nassert not os.path.exists({str(flag)!r})\ndef run(d): os._exit(1)")
    flag.touch()
    with pytest.raises(ModelFailed):
        await told(model)
    outcomes = await asyncio.gather(*(told(model) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ModelUnavailable] * 3
    assert "raised AssertionError" in str(outcomes[0])
    flag.unlink()

    with pytest.raises(ModelFailed):  # it was there again
        await told(model)


async def test_what_is_nonsense_of_a_process_is_not_believed(load: Load) -> None:
    code = """
        import os, socket, stat
        def is_socket(number):
            try:
                return stat.S_ISSOCK(os.fstat(number).st_mode)
            except OSError:
                return False
        channel = socket.socket(fileno=os.dup(next(filter(is_socket, range(3, 100)))))
        def run(data):
            channel.sendall(b"x" * 64)
            return 1
        """
    with pytest.raises(ModelFailed):
        await told(load(code))


async def test_threads_ask_it_too_before_and_after_the_loop_does(load: Load) -> None:
    model = load(PID)
    before = await asyncio.to_thread(value, model)
    between = await told(model)

    assert before == between == await asyncio.to_thread(value, model)


async def test_the_loop_waits_for_a_thread_that_is_in_the_middle_of_asking(load: Load) -> None:
    model = load(SLEEP)
    thread = asyncio.create_task(asyncio.to_thread(value, model, b"0.4"))
    await asyncio.sleep(0.1)

    assert await asyncio.wait_for(told(model, b"0"), 2) == await thread


async def test_processes_asked_from_the_loop_end_when_nobody_has_the_model_any_more(
    load: Load,
) -> None:
    model = load(PID, manifest="threads: 2")
    pids = set(await asyncio.gather(*(told(model) for _ in range(20))))
    del model
    gc.collect()
    await asyncio.sleep(0.3)

    assert pids
    assert not any(is_there(pid) for pid in pids)


STREAM = """
    import os
    from azureml_inference_server_http.api.aml_response import AMLResponse
    def parts(data):
        yield str(os.getpid())
        if data == "raise":
            raise ValueError
        if data == "end":
            os._exit(3)
        yield "rest"
    def run(data):
        return AMLResponse(parts(data), 200)
"""


async def test_a_stream_frees_its_process_at_its_end(load: Load) -> None:
    model = load(STREAM)
    for _ in range(2):
        reply = await answered(model)
        assert isinstance(reply.body, Stream)
        pid, rest = [chunk async for chunk in reply.body]
        assert (int(pid) > 0, rest) == (True, b"rest")


@pytest.mark.parametrize("what", [b"raise", b"end"])
async def test_a_stream_that_breaks_off_raises_and_the_next_is_whole(
    load: Load, what: bytes
) -> None:
    model = load(STREAM)
    broken = (await answered(model, what)).body
    assert isinstance(broken, Stream)
    await anext(broken)
    with pytest.raises(Ended, match=r"raised|exit code 3"):
        await anext(broken)

    again = (await answered(model)).body
    assert isinstance(again, Stream)
    assert len([chunk async for chunk in again]) == 2


async def test_a_stream_that_nobody_reads_on_ends_its_process(load: Load) -> None:
    model = load(STREAM.replace('yield "rest"', "import time; time.sleep(20)"))
    reply = await answered(model)
    assert isinstance(reply.body, Stream)
    pid = int(await anext(reply.body))
    await reply.body.aclose()

    assert not is_there(pid)
    assert isinstance((await answered(model)).body, Stream)


async def test_a_stream_that_nobody_reads_makes_its_process_wait(load: Load) -> None:
    code = """
        import time
        from azureml_inference_server_http.api.aml_response import AMLResponse
        sent = 0
        def parts():
            global sent
            for _ in range(200):
                sent += 1
                yield b"x" * 100_000
        def run(data):
            return AMLResponse(parts(), 200) if data == "stream" else sent
        """
    model = load(code)
    reply = await answered(model, b"stream")
    assert isinstance(reply.body, Stream)
    await asyncio.sleep(0.5)
    waiting = reply.body._bytes
    size = 0
    async for part in reply.body:
        size += len(part)

    assert size == 20_000_000
    assert waiting < 4_000_000


async def test_a_stream_of_which_no_part_comes_in_time_is_ended(load: Load) -> None:
    model = load(STREAM.replace('yield "rest"', "import time; time.sleep(20)"),
                 manifest="timeout_s: 0.3")  # fmt: skip
    reply = await answered(model)
    assert isinstance(reply.body, Stream)
    pid = int(await anext(reply.body))
    with pytest.raises(TimeoutError):
        await anext(reply.body)

    assert not is_there(pid)


async def test_a_stream_whose_reader_leaves_as_it_begins_keeps_no_process_busy(load: Load) -> None:
    endless = "while True:\n            yield 'x' * 100_000"
    model = load(STREAM.replace('yield "rest"', endless).replace('data == "end"', "False"))
    task = asyncio.create_task(answered(model))
    line, loop = model._crew._lines[0], asyncio.get_running_loop()

    def leave() -> None:  # each turn of the loop, before those that what has come wakes
        if line._stream is None:
            loop.call_soon(leave)
        else:
            task.cancel()

    loop.call_soon(leave)
    with pytest.raises(asyncio.CancelledError):
        await task

    again = await asyncio.wait_for(answered(model), 5)
    assert isinstance(again.body, Stream)
    await again.body.aclose()
