"""What people decide of whole datasets: moments, snapshots, take-downs, reports, likeness."""
