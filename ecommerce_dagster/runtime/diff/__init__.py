"""What differs between two tables, wherever each of them is.

`sides` brings them within reach of one session, `compare` asks it. Imports what `runtime` does.
"""
