"""What calls gave that were made within a workflow task, until the history has it: durable between one and the next."""
