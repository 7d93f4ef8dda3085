"""When something is worth a word, how it is told, and where."""
