"""Reading text, for every task on texts: files, vocabularies, and the recurrent network."""
