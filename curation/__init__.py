"""Operations on whole datasets: groups, snapshots, removals, reports, similarity."""
