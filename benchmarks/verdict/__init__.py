"""What can be predicted: forecasts of many models, years that none of them had seen."""
