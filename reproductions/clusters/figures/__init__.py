"""The figures of the clusters report."""
