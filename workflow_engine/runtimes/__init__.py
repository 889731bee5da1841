"""Where runs live: Temporal, or this process on a virtual clock."""
