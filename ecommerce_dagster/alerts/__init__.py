"""Tell people what failed, and when it works again.

`incidents` says what is news, `messages` how it reads, `delivery` sends it. May import `runtime`'s
foundations (`sql`, `bruin`) and knows neither Dagster nor a database.
"""
