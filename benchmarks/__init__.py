"""What the library reaches, measured: python -m benchmarks quality. Not tests, and no part of the library."""
