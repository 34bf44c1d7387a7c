"""Which names are served, which version answers a name now, and how each is doing.

named -> resolve -> fetch -> verify -> load -> check -> READY
            any step may fail: FAILED(reason, next try at), tried again with back-off

`names` knows them all, `entry` is the life of one, `lineup` chooses among the versions of a name,
`outlook` asks the registry until it answers, `outcomes` compares a version with the one before,
`lookups` bounds what requests may ask for.
"""

from app.catalog.entry import FIRST_RETRY_S, LAST_RETRY_S
from app.catalog.lineup import Lineup
from app.catalog.lookups import LOOK_UPS_PER_S, UNKNOWN_S
from app.catalog.names import Catalog
from app.catalog.outcomes import Outcomes
from app.catalog.status import State, Status, Wanted

__all__ = [
    "FIRST_RETRY_S",
    "LAST_RETRY_S",
    "LOOK_UPS_PER_S",
    "UNKNOWN_S",
    "Catalog",
    "Lineup",
    "Outcomes",
    "State",
    "Status",
    "Wanted",
]
