"""The claims ledger: reads runs, judges each of the seventeen claims, writes what it found."""
