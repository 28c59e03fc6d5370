"""What every study stands on: settings, errors, files, processes, resources."""
