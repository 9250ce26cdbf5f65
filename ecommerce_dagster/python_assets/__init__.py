"""Python files as assets: the interpreter, the process and the rows that it returns."""
