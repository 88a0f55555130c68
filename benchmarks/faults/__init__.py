"""The fault benchmark: known faults seeded in small nets, and what each diagnoser makes of them.

Read in this order: `architectures` (the nets and their places), `data` (the learnable task),
`trial` (how one case trains and what it leaves behind), `faults` and `traps` (what is done to a
trial), `alarms` and `rivals` (ours and published rules on the same evidence), `cases`, `scoring`
and `report`.
"""
