"""Where runs and steps are executed: the choice of it, Celery's settings, launchers of runs."""
