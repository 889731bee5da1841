"""Programs that this one starts: guarded so that they cannot outlive it, with their output bounded and their
ports known.
"""
