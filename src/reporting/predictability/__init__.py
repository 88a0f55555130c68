"""What can be predicted, by which model, how surely: docs/verdict.md from kept forecasts."""
