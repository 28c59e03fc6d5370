"""The vowel study's figures, one module each."""
