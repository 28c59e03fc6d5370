"""Vowel discrimination by a mixture of linear experts (Jacobs, Jordan, Nowlan & Hinton 1991)."""
