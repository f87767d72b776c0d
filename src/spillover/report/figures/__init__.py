"""The figures: charts of a run, of its inside, of its geometry, of a sweep."""
