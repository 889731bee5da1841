"""How values travel that are too large for Temporal, or that it must not be able to read.

A value is converted to a payload, encrypted if there are keys, and put into a store if it is large; what Temporal
keeps of it then is a claim: the key of the object, which is the SHA-256 of its content.
"""
