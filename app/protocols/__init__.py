"""How clients ask: each protocol has a codec and its routes. `score` is a plain ASGI endpoint."""
