"""What reads text, whatever is then said of it: files, vocabularies, and the network."""
