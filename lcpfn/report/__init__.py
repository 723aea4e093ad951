"""A page about many runs: how each will end, what was stopped, how good the forecasts had been."""
