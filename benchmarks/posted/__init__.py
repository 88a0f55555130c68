"""Programs as people post them because they will not train, each beside its repaired twin.

Every program is written for this benchmark, after the kinds of mistakes that are asked about in
forums; a right answer names the mistake in the faulty twin and is silent about the repaired one,
before training and after it.
"""
