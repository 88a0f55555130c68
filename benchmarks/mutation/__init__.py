"""Small faults planted in the code, one at a time: the share that the tests notice."""
