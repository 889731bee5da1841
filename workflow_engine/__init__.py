"""A durable engine for Serverless Workflow documents, DSL 1.0 and 0.8.

The pipeline, a package for each stage:

* ``dsl``          parse: YAML text to a `Document`, with every problem and its place
* ``graph``        compile: what a document becomes, a `StateGraph` of regions, states and transitions
* ``interpreter``  run: walk a graph, asking `Effects` for everything outside it
* ``runtimes``     where runs live: Temporal, or this process on a virtual clock
* ``calls``        the world outside: one caller for each kind of call
* ``events``       the router: CloudEvents in, deliveries out
"""

__version__ = "0.1.0"
