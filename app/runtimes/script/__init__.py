"""Scoring scripts: `score.py` with `init` and `run`, each in processes of its own.

`model` is what the service asks, `child` one process, `environment` what that sees of ours, `said`
what it prints. What runs in it is `app.script`.
"""
