"""The judge that compares networks with baselines for every task, and scores of labels."""
