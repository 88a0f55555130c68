"""Pure modules: encoders, poolings, norms, and the regressors composed of them."""
