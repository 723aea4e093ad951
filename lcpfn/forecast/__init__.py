"""Forecasts: from a run's records in the user's units to what they say of its future, and back."""
