"""The claims: reads runs, judges each of the seventeen, writes what it found."""
