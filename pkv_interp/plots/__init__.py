"""What figures share: theme, tables as data frames, intervals, words along an axis, files."""
