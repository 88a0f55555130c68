"""What is done to a training: schedules, dying units, priors, pushed and scaled gradients."""
