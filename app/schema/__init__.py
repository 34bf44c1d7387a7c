"""What a payload must look like, and how it becomes a batch. Pure.

`Schema(signature).decode(data)` reads every form of `data` that docs/protocols.md lists, and gives
a well-shaped `Batch` or all faults at once. `forms` and `values` are its two halves, `layout` is
what they know of a signature, `constraints` holds rules beyond types, `declared` reads and writes
JSON Schema (`fragment`: of one value), `params` reads what is said beside the rows, `named` takes
inputs by their own names, `examples` makes up payloads, `results` turns predictions into JSON
values. `bodies` is the JSON Schema of whole requests and answers, `dialect` says it as Swagger and
OpenAPI do.

`read(body)` takes a whole request from its bytes on. `document` turns text into JSON, and three
quick ways take what clients send most: `numbers` (lists of few), `numerals` (the text of many) and
`records` (a type compiled from the signature; `kinds`: of one column). Each of them gives what
`call(document.loads(body))` gives, or nothing; then that is asked, which says what is wrong.
"""

from app.schema.decode import Schema

__all__ = ["Schema"]
