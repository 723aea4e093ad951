"""What several experiments share: tasks, scores, baselines, tables, saved results."""
