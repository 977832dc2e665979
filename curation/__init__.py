"""Operations on whole datasets: groups, similarity, reports, boxes by hand."""
