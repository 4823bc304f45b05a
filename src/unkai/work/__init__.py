"""Everything asynchronous: tasks that services wrote in their transactions, carried out at least once, in lanes."""
