"""Run: walk a `StateGraph`, asking `Effects` for everything outside it; never act."""
