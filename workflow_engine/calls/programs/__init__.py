"""Programs that run in a process of their own, with a script: they import nothing of ours."""
