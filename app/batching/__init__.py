"""Joins waiting calls into one model call, and runs model calls in worker threads.

Greedy, without a timer: an idle thread starts at once, what arrives meanwhile is the next batch.
All state changes on the event loop; threads only compute. `batcher` has the calls of one model,
`backlog` those of them that wait, `workers` the threads of all, `lanes` who of all is next, `calls`
what goes between them. `relay` has the calls of a model that answers from processes of its own.
"""

from app.batching.batcher import Batcher, split
from app.batching.calls import Predicted
from app.batching.relay import Relay
from app.batching.workers import Workers

__all__ = ["Batcher", "Predicted", "Relay", "Workers", "split"]
