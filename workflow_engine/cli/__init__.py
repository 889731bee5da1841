"""The command line, `wfe`."""
