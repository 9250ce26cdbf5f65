"""The demonstration: a shop's database on this machine, and the commands about it.

It may import everything, and only the code location and the data generator import it.
"""
