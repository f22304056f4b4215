"""Forecasting: from a table of series to quantiles of every step of the horizon."""
