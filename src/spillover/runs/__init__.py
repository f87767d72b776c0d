"""What finished runs tell: their results side by side, suggestions of languages, the cost of work."""
