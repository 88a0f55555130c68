"""Where a run is shown: loggers, the dashboard and its pictures."""
