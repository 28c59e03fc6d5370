"""Text for the studies that learn from it: corpora, files, subwords, pairs as numbers."""
