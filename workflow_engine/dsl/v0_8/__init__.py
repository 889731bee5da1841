"""Lower DSL 0.8 documents straight to the graph; ``states.LOWERINGS`` lists every state type."""
