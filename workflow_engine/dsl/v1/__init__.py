"""Lower DSL 1.0 documents: `lower` makes the graph, ``tasks.LOWERINGS`` lists every task keyword."""
