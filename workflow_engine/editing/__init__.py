"""What an editor asks of documents that are being written: problems, completion, what words mean, where names are.

`server` speaks the protocol. What it answers comes from modules that know nothing of it: `text` has the characters
and their places, `reading` makes a tree of text that is not whole at the moment, `language` says what the schemas
allow at a place of it, `names` which names it defines and uses. Problems come from the same code as those of
``wfe validate``, in a process of their own (`checker`), so that no document stops the server.
"""
