"""Uses of finished runs: comparison, suggestions of languages, unit costs for forecasts."""
