"""What `aml-serve` does besides serving. `models` is light; what a command needs it imports when
it runs.
"""
