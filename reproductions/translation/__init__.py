"""What Shazeer et al. (2017) published of their translation model, and our runs beside it."""
