"""From predictions to gains, intervals, tests, verdicts and gates, as pure functions."""
