"""`/score`: the generic request of any model (docs/protocols.md).

`endpoint` is the ASGI application, `codec` reads requests and writes answers, `refusals` is the
error envelope of this family. `documents` answers /swagger.json: `definitions` is what a model
takes and gives, `swagger` what is around it.
"""

from app.protocols.score.codec import ScoreCodec
from app.protocols.score.endpoint import ScoreEndpoint, score_once
from app.protocols.score.refusals import refusal

__all__ = ["ScoreCodec", "ScoreEndpoint", "refusal", "score_once"]
