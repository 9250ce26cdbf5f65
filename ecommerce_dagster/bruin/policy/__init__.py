"""Policy files: rules that a team sets for its own assets, and the expressions they are written
in."""
