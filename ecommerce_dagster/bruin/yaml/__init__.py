"""YAML with the line of every value, and typed nodes made of it. Imports nothing of `bruin` but
`problems`."""
