"""How results are judged: one verdict for all tasks, with an interval; and scores of labels."""
