"""What every study stands on: settings, errors, run folders, processes, resources."""
