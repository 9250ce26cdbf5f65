"""What an operator asks of a pipeline on this machine. `ecommerce doctor` prints the findings, and
`ecommerce metrics` their numbers.

A module holds one part: a function from a `Setup` to its findings. Nothing here writes, starts a
server, or waits for a lock.
"""
