"""What authors of plugins and of workflows test theirs with."""
