"""What `aml-serve` does besides serving."""
